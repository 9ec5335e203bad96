import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { gzipSync } from "node:zlib"
import * as Csv from "../src/tasks/Csv.ts"
import * as Hub from "../src/tasks/Hub.ts"
import * as Rows from "../src/tasks/Rows.ts"
import { parquet } from "./parquet.ts"
import { bench } from "./support.ts"

describe("Csv", () => {
  it("reads quotes, separators, line breaks and empty cells", () => {
    const text = '\uFEFFa,b,c\r\n"x, ""y""\nz",1,\r\nplain,-2.5,\n'
    assert.deepStrictEqual(Csv.rows(text), [
      { a: 'x, "y"\nz', b: 1, c: null },
      { a: "plain", b: -2.5, c: null },
    ])
  })

  it("keeps a column of numbers and words as text, and takes names from outside", () => {
    assert.deepStrictEqual(Csv.rows("1,a\n2,3\n", { header: ["x", "y"] }), [
      { x: 1, y: "a" },
      { x: 2, y: "3" },
    ])
    assert.deepStrictEqual(Csv.cells("a,\n"), [["a", ""]])
  })
})

const stories = [
  { text: "one", n: 1 },
  { text: "two\nlines", n: 2 },
  { text: "drei ü", n: 2 ** 40 },
]

describe("Rows.read", () => {
  it.effect("reads every format, and what is gzipped", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      const { writeFileSync } = yield* Effect.promise(() => import("node:fs"))
      const lines = stories.map((row) => JSON.stringify(row)).join("\n")
      const files = [
        write("a.jsonl", `${lines}\n\n`),
        write("a.json", JSON.stringify(stories)),
        write("a.jsonl.gz", ""),
        write("a.parquet", ""),
      ]
      writeFileSync(files[2] ?? "", gzipSync(lines))
      writeFileSync(files[3] ?? "", parquet(stories))
      for (const file of files) assert.deepStrictEqual(yield* Rows.read(file), stories, file)
      assert.deepStrictEqual(yield* Rows.read(write("a.txt", "x\n\ny\n")), [
        { text: "x" },
        { text: "" },
        { text: "y" },
      ])
      const python = write("n.jsonl", '{"a": NaN, "b": ["NaN: \\"Infinity", -Infinity]}\n')
      assert.deepStrictEqual(yield* Rows.read(python), [{ a: null, b: ['NaN: "Infinity', null] }])
      const byId = write("b.json", JSON.stringify({ p: { q: 1 }, r: "yes" }))
      assert.deepStrictEqual(yield* Rows.read(byId), [
        { id: "p", q: 1 },
        { id: "r", value: "yes" },
      ])
      const lists = write("c.json", JSON.stringify({ documents: ["x"], label: [{ gold: 0 }] }))
      assert.deepStrictEqual(yield* Rows.read(lists, { field: "documents" }), [{ text: "x" }])
      const error = yield* Effect.flip(Rows.read(write("a.xml", "")))
      assert.match(error.message, /expected a \.jsonl, /)
    }),
  )
})

/** A stand-in for the Hub: lists one parquet file and serves ranges of it. */
const hub = Effect.acquireRelease(
  Effect.promise(async () => {
    const file = parquet(stories)
    const requests: Array<string> = []
    const server = createServer((request, response) => {
      const { method = "", url = "" } = request
      requests.push(`${method} ${url} ${request.headers.range ?? ""}`.trim())
      const [, start, end] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? []
      if (url === "/api/datasets/own/stories/parquet/small/test") {
        const { port } = server.address() as AddressInfo
        response.end(JSON.stringify([`http://127.0.0.1:${port}/0.parquet`]))
      } else if (url !== "/0.parquet") {
        response.writeHead(404).end()
      } else if (method === "HEAD") {
        response.writeHead(200, { "content-length": file.length, "accept-ranges": "bytes" }).end()
      } else {
        const part = file.subarray(Number(start), Number(end) + 1)
        response.writeHead(206, { "content-length": part.length }).end(part)
      }
    })
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve)
    })
    process.env["HF_ENDPOINT"] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return { requests, server }
  }),
  ({ server }) =>
    Effect.sync(() => {
      delete process.env["HF_ENDPOINT"]
      server.closeAllConnections()
      server.close()
    }),
)

describe("Hub.read", () => {
  it.effect("reads a split's parquet by ranges", () =>
    Effect.gen(function* () {
      const { requests } = yield* hub
      const of = { path: "own/stories", name: "small", split: "test" }
      assert.deepStrictEqual(yield* Hub.read(of, "t.yaml"), stories)
      assert.deepStrictEqual(yield* Hub.read({ ...of, end: 2 }, "t.yaml"), stories.slice(0, 2))
      assert.isTrue(requests.some((request) => request.startsWith("GET /0.parquet bytes=")))
      const error = yield* Effect.flip(Hub.read({ ...of, split: "train" }, "t.yaml"))
      assert.match(error.message, /^t\.yaml: dataset_path: own\/stories: the Hub has no split train of small/)
    }),
  )
})
