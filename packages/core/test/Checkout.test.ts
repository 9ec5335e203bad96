import { Checkout, Content, Store } from "@hila/core"
import { Disk, node } from "@hila/core/Disk"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { temporaryDirectory } from "./temporary.ts"

/** A directory of two files in a store, and an empty directory to check out into. */
const produced = Effect.gen(function* () {
  const root = yield* temporaryDirectory
  const made = join(root, "made")
  yield* Effect.promise(async () => {
    await mkdir(join(made, "sub"), { recursive: true })
    await writeFile(join(made, "a.txt"), "a")
    await writeFile(join(made, "sub", "b.txt"), "b")
    await mkdir(join(root, "out"))
  })
  const { publish } = yield* Store
  return { content: yield* publish(made), out: join(root, "out") }
})

const list = (path: string) => Effect.promise(() => readdir(path))

describe("A checkout", () => {
  it.effect("has files of the user's own, below a directory that need not be there", () =>
    Effect.gen(function* () {
      const { content, out } = yield* produced
      const to = join(out, "new", "copy")
      yield* Checkout.copy(content, to)
      const path = join(to, "sub", "b.txt")
      assert.strictEqual(yield* Effect.promise(() => readFile(path, "utf8")), "b")
      assert.strictEqual((yield* Effect.promise(() => stat(path))).mode & 0o200, 0o200)
      yield* Effect.promise(() => writeFile(path, "mine"))
      yield* Checkout.copy(content, join(out, "again"))
      const kept = yield* Effect.promise(() => readFile(join(out, "again", "sub", "b.txt"), "utf8"))
      assert.strictEqual(kept, "b")

      const told = join(out, "told")
      yield* Checkout.copy(content, told, { "a.txt": "another", "c.txt": "more" })
      const texts = yield* Effect.promise(() =>
        Promise.all(["a.txt", "sub/b.txt", "c.txt"].map((name) => readFile(join(told, name), "utf8"))),
      )
      assert.deepStrictEqual(texts, ["another", "b", "more"])
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.effect("of an empty directory is one", () =>
    Effect.gen(function* () {
      const out = join(yield* temporaryDirectory, "copy")
      yield* Checkout.copy(Content.directory({}), out)
      assert.deepStrictEqual(yield* list(out), [])
    }),
  )

  it.effect("to what is there already, or to a full disk, is refused and leaves nothing", () =>
    Effect.gen(function* () {
      const { content, out } = yield* produced
      const taken = yield* Effect.flip(Checkout.copy(content, out))
      assert.strictEqual(
        taken.message,
        `cannot check out to ${out}: it exists already: give a path that is new, or remove what is there`,
      )
      let copies = 0
      const full = {
        ...node,
        copy: (from: string, to: string) =>
          ++copies === 2
            ? Promise.reject(Object.assign(new Error("full"), { code: "ENOSPC" }))
            : node.copy(from, to),
      }
      const to = join(out, "copy")
      const error = yield* Effect.flip(Effect.provideService(Checkout.copy(content, to), Disk, full))
      assert.strictEqual(error.message, `cannot check out to ${to}: no space left on the device`)
      assert.deepStrictEqual(yield* list(out), [])
    }).pipe(Effect.provide(Store.layerMemory)),
  )

  it.live("that is interrupted waits for the file it is on, and leaves nothing", () =>
    Effect.gen(function* () {
      const { content, out } = yield* produced
      const [begun, go] = [yield* Deferred.make<void>(), Promise.withResolvers<void>()]
      const slow = {
        ...node,
        copy: async (from: string, to: string) => {
          Effect.runSync(Deferred.succeed(begun, undefined))
          await go.promise
          await node.copy(from, to)
        },
      }
      const copying = yield* Effect.forkChild(
        Effect.provideService(Checkout.copy(content, join(out, "copy")), Disk, slow),
      )
      yield* Deferred.await(begun)
      const ended = yield* Effect.forkChild(Fiber.interrupt(copying), { startImmediately: true })
      go.resolve()
      yield* Fiber.join(ended)
      assert.deepStrictEqual(yield* list(out), [])
    }).pipe(Effect.provide(Store.layerMemory)),
  )
})
