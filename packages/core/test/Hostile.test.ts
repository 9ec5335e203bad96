/** What a store or a server of one says is looked at before it becomes a path: names, digests, sizes, addresses. */
import { Address, Canonical, Digest, Remote, Store } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { createServer, type RequestListener } from "node:http"
import type { AddressInfo } from "node:net"
import { dirname, join } from "node:path"
import { inOrder } from "../src/internal/makeStore.ts"
import { areFiles } from "../src/internal/names.ts"
import { run } from "../faults/subject.ts"
import { temporaryDirectory } from "./temporary.ts"

const put = (path: string, text: string) => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
}

/** Writes a blob into a store's directory as anybody can who may write there; its digest. */
const forge = (store: string, text: string): string => {
  const digest = Digest.of(text)
  put(join(store, "cas", digest.slice(0, 2), digest), text)
  return digest
}

const manifestOf = (names: ReadonlyArray<string>, file: string, size: number) =>
  Canonical.stringify(Object.fromEntries(names.map((name) => [name, { digest: file, size }])))

const climbing = [
  ["../../x"],
  ["/etc/x"],
  [""],
  ["."],
  [".."],
  ["a/../b"],
  ["a//b"],
  ["a/"],
  ["a\0b"],
  ["a", "a/b"],
  ["ok", "a/b/c", "a/b"],
]

describe("a store that somebody else has written to", () => {
  it.effect("has no directory whose files are named to lie outside of it", () =>
    Effect.gen(function* () {
      const at = join(yield* temporaryDirectory, "store")
      const file = forge(at, "evil")
      const found = yield* Effect.provide(
        Effect.flatMap(Store, (store) =>
          Effect.forEach([["good", "a/b"], ...climbing], (names) => {
            const digest = forge(at, manifestOf(names, file, 4))
            return Effect.map(
              Effect.all([store.condition("directory", digest), store.content("directory", digest)]),
              ([condition, content]) => [condition, Option.isSome(content)] as const,
            )
          }),
        ),
        Store.layer(at),
      )
      assert.deepStrictEqual(found[0], ["whole", true])
      for (const one of found.slice(1)) assert.deepStrictEqual(one, ["damaged", false])
    }),
  )

  it.effect("has no directory that is another than its digest says, or lists what is no digest", () =>
    Effect.gen(function* () {
      const at = join(yield* temporaryDirectory, "store")
      const texts = [
        "no manifest",
        "[]",
        Canonical.stringify({ a: { digest: "../../../etc/passwd", size: 4 } }),
        // Not as a manifest is written: another text for the same files.
        ` ${manifestOf(["a"], forge(at, "evil"), 4)}`,
      ]
      const conditions = yield* Effect.provide(
        Effect.flatMap(Store, (store) =>
          Effect.forEach(texts, (text) => store.condition("directory", forge(at, text))),
        ),
        Store.layer(at),
      )
      assert.deepStrictEqual(conditions, ["damaged", "damaged", "damaged", "damaged"])
    }),
  )

  it.live("has no record whose key or digest is a path, and no run or reference that it did not name", () =>
    Effect.gen(function* () {
      const at = join(yield* temporaryDirectory, "store")
      const [store, log] = [Store.layer(at), join(at, "..", "bodies.log")]
      yield* Effect.provide(run({ log, pause: 0 }), store)
      const before = yield* Effect.provide(
        Effect.flatMap(Store, ({ actions, refs, runs }) => Effect.all({ actions, refs, runs })),
        store,
      )
      const [action] = before.actions
      assert.isDefined(action)
      const stage = action.ingredients.stage
      for (const [name, change] of [
        ["a", { digest: "../../../../etc/passwd" }],
        ["b", { key: "../../../x" }],
        ["c", { digest: `${"0".repeat(63)}/` }],
        ["d", { source: "../x" }],
      ] as const)
        put(join(at, "actions", stage, `${name}.json`), Canonical.stringify({ ...action, ...change }))
      for (const name of ["%zz", "%", "..%2F..%2Fx%zz", "a b"]) {
        put(join(at, "refs", name, "out"), Canonical.stringify(before.refs[0]))
        put(join(at, "refs", "toy", name), Canonical.stringify({ stage, key: "../x", digest: "../x" }))
        put(join(at, "runs", `${name}.jsonl`), "{}\n")
      }
      put(join(at, "parts", "..%2F", "x.json"), "{}")
      const after = yield* Effect.provide(
        Effect.flatMap(Store, ({ actions, parts, refs, runs }) => Effect.all({ actions, refs, runs, parts })),
        Store.layer(at),
      )
      assert.deepStrictEqual(
        after.actions.map(({ key }) => key).toSorted(),
        before.actions.map(({ key }) => key).toSorted(),
      )
      assert.deepStrictEqual([after.refs, after.runs, after.parts], [before.refs, before.runs, []])
    }),
  )

  it("names files below it, in no other way", () => {
    assert.isTrue(areFiles(["a", "b/c", "b/d", "..a", "a.b/.c", "é/ü"]))
    for (const names of climbing) assert.isFalse(areFiles(names), names.join())
  })

  it("has a run whose clock was ahead before all others, so that it is not the last for years", () => {
    const now = Date.parse("2026-12-01T12:00:00.000Z")
    const [first, second, ahead] = [
      "2026-11-30T10-00-00-000Z-1-aaaa",
      "2026-12-01T11-59-59-000Z-2-bbbb",
      "2031-01-01T00-00-00-000Z-3-cccc",
    ] as const
    assert.deepStrictEqual(inOrder([second, ahead, first], now), [ahead, first, second])
    // Once its time has come it is a run like others.
    assert.deepStrictEqual(inOrder([second, ahead, first], Date.parse("2031-06-01")), [first, second, ahead])
    assert.deepStrictEqual(inOrder(["x", second], now), [second, "x"])
  })
})

describe("a remote store", () => {
  const listening = (listener: RequestListener) =>
    Effect.acquireRelease(
      Effect.promise(
        () =>
          new Promise<{ readonly url: string; readonly close: () => void }>((resolve) => {
            const server = createServer(listener)
            server.listen(0, "127.0.0.1", () =>
              resolve({
                url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
                close: () => {
                  server.closeAllConnections()
                  server.close()
                },
              }),
            )
          }),
      ),
      ({ close }) => Effect.sync(close),
    )

  /** What a run makes of a server, and the warnings it gives. */
  const against = (url: string, token?: string) =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryDirectory, "store")
      const warnings: Array<string> = []
      const warn = (message: string) => Effect.sync(() => void warnings.push(message))
      const remote = Remote.layer({ url, warn, ...(token === undefined ? {} : { token }) })
      yield* Effect.provide(
        run({ log: join(directory, "..", "bodies.log"), pause: 0 }),
        Layer.fresh(remote.pipe(Layer.provide(Store.layer(directory)))),
      )
      return warnings
    })

  it.live(
    "whose record names a path, is too long or never ends is a warning, and what it says is not taken",
    () =>
      Effect.gen(function* () {
        const records: ReadonlyArray<RequestListener> = [
          (request, response) => {
            const key = request.url?.slice("/ac/".length) ?? ""
            response.end(JSON.stringify({ key, digest: "../../../etc/passwd", kind: "file", size: 1 }))
          },
          (_, response) => {
            response.end(`"${"x".repeat(9 << 20)}"`)
          },
          (request, response) => {
            const timer = setInterval(() => response.write("x".repeat(1 << 20)), 1)
            request.on("close", () => clearInterval(timer))
            response.on("close", () => clearInterval(timer))
          },
        ]
        for (const listener of records) {
          const { url } = yield* listening(listener)
          const warnings = yield* against(url)
          assert.match(
            warnings.join("\n"),
            /^remote store .*: its record of \w+ is not one of that key; going on/,
          )
        }
      }),
  )

  it.live("never has its password or its token in a message", () =>
    Effect.gen(function* () {
      const { url } = yield* listening((_, response) => response.writeHead(500).end())
      const secret = "s3cret"
      const withPassword = yield* against(url.replace("http://", `http://me:${secret}@`))
      const broken = yield* against(url, `${secret}\nx`)
      const unreadable = yield* against(`http://me:${secret}@[`)
      for (const [warning] of [withPassword, broken, unreadable]) {
        assert.isDefined(warning)
        assert.notInclude(warning, secret)
      }
      assert.include(withPassword[0], "has a name or a password in it")
      assert.include(broken[0], "its token holds a blank, a line break")
      assert.strictEqual(Address.shown(`https://me:${secret}@host/path`), "https://host/path")
    }),
  )
})
