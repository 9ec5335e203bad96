import { Digest, Remote, Run, Store } from "@hila/core"
import * as StoreServer from "@hila/core/StoreServer"
import { observed, planned, storeContract } from "@hila/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { spawn } from "node:child_process"
import { chmodSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { expected, run } from "../faults/subject.ts"
import { temporaryDirectory } from "./temporary.ts"
import { toy } from "./toy.ts"

/** A server in a process of its own. */
const server = (directory: string, token?: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const script = fileURLToPath(new URL("server.ts", import.meta.url))
      const args = ["--conditions=@hila/source", "--disable-warning=ExperimentalWarning", script, directory]
      const child = spawn(process.execPath, [...args, ...(token === undefined ? [] : [token])])
      const url = await new Promise<string>((resolve, reject) => {
        child.stdout.once("data", (text) => resolve(String(text).trim()))
        child.once("error", reject)
      })
      return { child, url }
    }),
    ({ child }) => Effect.sync(() => child.kill()),
  )

/** A server in this process, of a store that lives as long as the test. */
const served = Effect.flatMap(Layer.build(Layer.fresh(Store.layerMemory)), (context) =>
  Effect.provide(StoreServer.serve({ port: 0 }), context),
)

/** A new local store in front of a remote one, with the warnings it gives. */
const client = (url: string, token?: string) =>
  Effect.gen(function* () {
    const directory = join(yield* temporaryDirectory, "store")
    const warnings: Array<string> = []
    const warn = (message: string) => Effect.sync(() => void warnings.push(message))
    const options = token === undefined ? { url, warn } : { url, warn, token }
    const layer = Layer.fresh(Remote.layer(options).pipe(Layer.provide(Store.layer(directory))))
    return { warnings, layer, directory, log: join(directory, "..", "bodies.log") }
  })

const go = ({ layer, log }: { readonly layer: Layer.Layer<Store, unknown>; readonly log: string }) =>
  observed(run({ log, pause: 0 })).pipe(Effect.provide(layer))

describe("A remote store", () => {
  it.live("gives others what was computed here, and plans with it before anything is fetched", () =>
    Effect.gen(function* () {
      const { url } = yield* server(join(yield* temporaryDirectory, "remote"))
      const [mine, yours] = [yield* client(url), yield* client(url)]
      assert.deepStrictEqual((yield* go(mine)).ran, ["scale", "files", "sum"])
      const other = yield* go(yours)
      assert.deepStrictEqual(other.value, expected)
      assert.deepStrictEqual(other.ran, [])
      assert.deepStrictEqual([...mine.warnings, ...yours.warnings], [])
      // What was fetched is here from now on.
      const alone = { ...yours, layer: Store.layer(yours.directory) }
      assert.deepStrictEqual((yield* go(alone)).hit, ["scale", "files", "sum"])

      const { scale, source } = toy()
      const nodes = { scaled: scale({ numbers: source([1, 2]) }, { by: 2 }) }
      yield* Run.outputs(nodes).pipe(Effect.provide(mine.layer))
      const third = yield* client(url)
      assert.deepStrictEqual(yield* planned(nodes).pipe(Effect.provide(third.layer)), [["scale", "hit"]])
    }),
  )

  for (const [how, change, said] of [
    ["more", (bytes: Buffer) => Buffer.concat([bytes, Buffer.from("x")]), "did not arrive: more bytes than"],
    ["other", (bytes: Buffer) => bytes.fill(0, bytes.length - 1), "it answered other bytes than those of"],
  ] as const) {
    it.live(`that answers ${how} bytes is not believed`, () =>
      Effect.gen(function* () {
        const remote = join(yield* temporaryDirectory, "remote")
        const { url } = yield* server(remote)
        yield* go(yield* client(url))
        for (const prefix of readdirSync(join(remote, "cas"))) {
          for (const name of readdirSync(join(remote, "cas", prefix))) {
            const path = join(remote, "cas", prefix, name)
            const { mtime } = statSync(path)
            chmodSync(path, 0o644)
            writeFileSync(path, change(readFileSync(path)))
            // As a disk would that forgets: its server does not notice.
            utimesSync(path, mtime, mtime)
          }
        }
        const yours = yield* client(url)
        const { value } = yield* go(yours)
        assert.deepStrictEqual(value, expected)
        assert.strictEqual(yours.warnings.length, 1)
        assert.include(yours.warnings[0], said)
      }),
    )
  }

  it.live("that cannot be reached, or asks for a token, is one warning", () =>
    Effect.gen(function* () {
      const gone = yield* client("http://127.0.0.1:9")
      assert.deepStrictEqual((yield* go(gone)).value, expected)
      assert.strictEqual(gone.warnings.length, 1)
      assert.match(gone.warnings[0] ?? "", /^remote store http:\/\/127\.0\.0\.1:9: .*; going on without it$/)

      const { url } = yield* server(join(yield* temporaryDirectory, "remote"), "secret")
      const [outsider, insider] = [yield* client(url, "guess"), yield* client(url, "secret")]
      assert.deepStrictEqual((yield* go(outsider)).value, expected)
      assert.match(outsider.warnings.join(), /it asks for another token; going on without it$/)
      yield* go(insider)
      assert.deepStrictEqual(insider.warnings, [])
      assert.deepStrictEqual((yield* go(yield* client(url, "secret"))).ran, [])
    }),
  )

  it.live("is not served to other machines without a token, nor on a port in use", () =>
    Effect.gen(function* () {
      const open = yield* Effect.flip(StoreServer.serve({ host: "0.0.0.0" }))
      assert.strictEqual(
        open.message,
        "cannot serve the store at 0.0.0.0: other machines can reach it: give it a token",
      )
      const port = Number((yield* StoreServer.serve({ port: 0 })).split(":").at(-1))
      const taken = yield* Effect.flip(StoreServer.serve({ port }))
      assert.strictEqual(taken.message, `cannot serve the store at 127.0.0.1:${port}: the port is in use`)
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.live("refuses a record whose key is another or whose content it has not, and wrong bytes", () =>
    Effect.gen(function* () {
      const url = yield* StoreServer.serve({ port: 0 })
      const put = (path: string, body: string) =>
        Effect.promise(async () => (await fetch(`${url}${path}`, { method: "PUT", body })).status)
      const key = "a".repeat(64)
      assert.strictEqual(yield* put(`/cas/${key}`, "hello"), 400)
      assert.strictEqual(yield* put(`/ac/${key}`, "{}"), 400)
      assert.strictEqual(yield* put(`/elsewhere`, "{}"), 404)
      const status = (path: string) => Effect.promise(async () => (await fetch(`${url}${path}`)).status)
      assert.strictEqual(yield* status(`/ac/${key}`), 404)
      assert.strictEqual(yield* status(`/cas/../format`), 404)
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  // What is gone or damaged here is still there: for these clauses, losing content is no loss.
  const kept = ["finds a record only", "sets damaged blobs aside"]
  for (const { check, name } of storeContract.filter(
    (each) => !kept.some((start) => each.name.startsWith(start)),
  )) {
    it.live(`in front of which a local store ${name}`, () =>
      Effect.gen(function* () {
        const url = yield* served
        const { layer } = yield* client(url)
        yield* Effect.provide(check, layer)
      }),
    )
  }

  it.live("replaces what is lost here without computing it again", () =>
    Effect.gen(function* () {
      const url = yield* served
      const mine = yield* client(url)
      yield* go(mine)
      yield* Effect.gen(function* () {
        const store = yield* Store
        for (const { digest } of yield* store.blobs) yield* store.quarantine(digest)
      }).pipe(Effect.provide(Store.layer(mine.directory)))
      assert.deepStrictEqual((yield* go(mine)).hit, ["scale", "files", "sum"])
    }),
  )

  it.live("that forty clients send one blob to at once has it afterwards, whole", () =>
    Effect.gen(function* () {
      const directory = join(yield* temporaryDirectory, "store")
      const { url } = yield* server(directory)
      for (let round = 0; round < 12; round++) {
        const body = `${round} `.repeat(round % 2 === 0 ? 10 : 400_000)
        const digest = Digest.of(body)
        const statuses = yield* Effect.promise(() =>
          Promise.all(
            Array.from({ length: 40 }, async () => {
              const response = await fetch(`${url}/cas/${digest}`, { method: "PUT", body })
              await response.arrayBuffer()
              return response.status
            }),
          ),
        )
        assert.deepStrictEqual(new Set(statuses), new Set([201]))
        const back = yield* Effect.promise(() =>
          fetch(`${url}/cas/${digest}`).then((response) => response.text()),
        )
        assert.isTrue(back === body)
      }
      // Nothing of what was sent is left beside it.
      assert.deepStrictEqual(readdirSync(join(directory, "tmp")), [])
    }),
  )
})
