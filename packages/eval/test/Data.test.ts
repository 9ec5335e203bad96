import { assert, describe, it } from "@effect/vitest"
import { Hub as Settings } from "@hila/model"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { Float } from "../src/internal/python.ts"
import * as Csv from "../src/tasks/Csv.ts"
import * as Dataset from "../src/tasks/Dataset.ts"
import * as Hub from "../src/tasks/Hub.ts"
import * as Rows from "../src/tasks/Rows.ts"
import { parquet } from "./parquet.ts"
import { bench, taskOf, taskText } from "./support.ts"

describe("Csv", () => {
  it("reads quotes, separators, line breaks and empty cells", () => {
    const text = '\uFEFFa,b,c\r\n"x, ""y""\nz",1,\r\nplain,-2.5,\n'
    assert.deepStrictEqual(Csv.rows(text), [
      { a: 'x, "y"\nz', b: new Float(1), c: null },
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
      for (const codec of ["gzip", "brotli", "zstd"] as const) {
        const file = write(`${codec}.parquet`, "")
        writeFileSync(file, parquet(stories, codec))
        assert.deepStrictEqual(yield* Rows.read(file), stories, codec)
      }
      const python = write("n.jsonl", '{"a": NaN, "b": ["NaN: \\"Infinity", -Infinity]}\n')
      assert.deepStrictEqual(yield* Rows.read(python), [
        { a: Number.NaN, b: ['NaN: "Infinity', Number.NEGATIVE_INFINITY] },
      ])
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

const commit = "c".repeat(40)
const lines = stories.map((row) => `${JSON.stringify(row)}\n`).join("")

/** Answers about a data set with one file of JSON lines. */
const answers: Readonly<Record<string, string>> = {
  "/api/datasets/own/lines/revision/main": JSON.stringify({ _id: "1", id: "own/lines", sha: commit }),
  [`/api/datasets/own/lines/tree/${commit}/data`]: JSON.stringify([
    {
      type: "file",
      path: "data/test.jsonl",
      size: Buffer.byteLength(lines),
      oid: createHash("sha1")
        .update(`blob ${Buffer.byteLength(lines)}\0${lines}`)
        .digest("hex"),
    },
  ]),
  [`/datasets/own/lines/resolve/${commit}/data/test.jsonl`]: lines,
}

/** A stand-in for the Hub: lists one parquet file and serves ranges of it, and has a data set of JSON lines. */
const hub = Effect.acquireRelease(
  Effect.promise(async () => {
    const file = parquet(stories)
    const requests: Array<string> = []
    const server = createServer((request, response) => {
      const { method = "", url = "" } = request
      const answer = answers[url.replace(/\?.*$/, "")]
      requests.push(`${method} ${url} ${request.headers.range ?? ""}`.trim())
      const [, start, end] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? []
      if (url === "/api/datasets/own/stories/parquet/small/test") {
        const { port } = server.address() as AddressInfo
        response.end(JSON.stringify([`http://127.0.0.1:${port}/0.parquet`]))
      } else if (answer !== undefined) {
        response.writeHead(200, { "content-type": "application/json" }).end(answer)
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
    const cache = mkdtempSync(join(tmpdir(), "hila-eval-hub-"))
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const settings = { endpoint, token: undefined, cache, offline: false }
    const use = (more: Partial<Settings.Settings> = {}) =>
      Effect.provideService(Settings.Settings, { ...settings, ...more })
    return { requests, server, cache, use }
  }),
  ({ cache, server }) =>
    Effect.sync(() => {
      rmSync(cache, { recursive: true })
      server.closeAllConnections()
      server.close()
    }),
)

describe("Hub.read", () => {
  it.effect("reads a split's parquet by ranges", () =>
    Effect.gen(function* () {
      const { requests, use } = yield* hub
      const of = { path: "own/stories", name: "small", split: "test" }
      const read = (selection: Hub.Selection) => use()(Hub.read(selection, "t.yaml"))
      assert.deepStrictEqual(yield* read(of), stories)
      assert.deepStrictEqual(yield* read({ ...of, end: 2 }), stories.slice(0, 2))
      assert.isTrue(requests.some((request) => request.startsWith("GET /0.parquet bytes=")))
      const error = yield* Effect.flip(read({ ...of, split: "train" }))
      assert.match(error.message, /^t\.yaml: dataset_path: own\/stories: the Hub has no split train of small/)
      const offline = yield* Effect.flip(use({ offline: true })(Hub.read(of, "t.yaml")))
      assert.match(
        offline.message,
        /^t\.yaml: dataset_path: own\/stories: HF_HUB_OFFLINE is set; unset it, or give/,
      )
    }),
  )

  it.effect("reads a file of a data set that a task names", () =>
    Effect.gen(function* () {
      const { use } = yield* hub
      const { write } = yield* bench
      const documents = (name: string) => {
        const file = write(
          "t.yaml",
          taskText("doc_to_text: text\ndoc_to_target: 0\ndoc_to_choice: [a, b]").replace("rows.jsonl", name),
        )
        return use()(Effect.flatMap(taskOf(file), ({ config }) => Dataset.read(file, config, "test")))
      }
      const { rows, source } = yield* documents("hf://datasets/own/lines/data/test.jsonl[1:]")
      assert.deepStrictEqual(rows, stories.slice(1))
      assert.strictEqual(source, "hf://datasets/own/lines/data/test.jsonl")
      const gone = yield* Effect.flip(documents("hf://datasets/own/lines/data/train.jsonl"))
      assert.match(
        gone.message,
        /data_files\.test: Hub datasets\/own\/lines@main\/data\/train\.jsonl: there is no such file; there are data\/test\.jsonl$/,
      )
    }),
  )
})
