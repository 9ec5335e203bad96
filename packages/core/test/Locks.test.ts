import { Run, Stage, Store } from "@hila/core"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import { Deferred, Effect, Fiber } from "effect"
import { mkdir, readdir, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { temporaryDirectory } from "./temporary.ts"
import { Total } from "./toy.ts"

/** Claims a name and lets it go. */
const claimed = (directory: string, name: string) =>
  Effect.scoped(Effect.flatMap(Store, (store) => store.claim(name))).pipe(
    Effect.provide(Store.layer(directory)),
  )

/** Puts the claim of an owner into a store; its path. */
const claimOf = (directory: string, name: string, owner: string) =>
  Effect.promise(async () => {
    await mkdir(join(directory, "locks", name), { recursive: true })
    const path = join(directory, "locks", name, owner)
    await writeFile(path, "")
    return path
  })

describe("A claim", () => {
  afterEach(() => void vi.useRealTimers())

  it.live("of a process that is gone is none, even if its number is in use again", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const [own = ""] = yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Effect.flatMap(Store, (store) => store.claim("mine"))
          assert.isFalse((yield* claimed(directory, "mine")).held)
          return yield* Effect.promise(() => readdir(join(directory, "locks", "mine")))
        }),
      ).pipe(Effect.provide(Store.layer(directory)))
      const [host, pid, start] = own.split("~")
      yield* claimOf(directory, "gone", `${host}~99999999~${start}~a`)
      yield* claimOf(directory, "reused", `${host}~${pid}~1~a`)
      assert.isTrue((yield* claimed(directory, "gone")).held)
      assert.isTrue((yield* claimed(directory, "reused")).held)
    }),
  )

  it.live("of another host holds while its heartbeat moves, and no longer", () =>
    Effect.gen(function* () {
      vi.useFakeTimers({ toFake: ["performance"] })
      const directory = yield* temporaryDirectory
      const path = yield* claimOf(directory, "k", "elsewhere~17~0~a")
      const later = (seconds: number) => vi.advanceTimersByTime(1000 * seconds)
      assert.deepStrictEqual(yield* claimed(directory, "k"), {
        held: false,
        owner: "process 17 on elsewhere",
      })
      later(50)
      yield* Effect.promise(() => utimes(path, 1000, 1000))
      assert.isFalse((yield* claimed(directory, "k")).held)
      later(50)
      assert.isFalse((yield* claimed(directory, "k")).held)
      later(11)
      assert.isTrue((yield* claimed(directory, "k")).held)
    }),
  )
})

describe("A run that is interrupted", () => {
  it.live("leaves no temporary file and no claim", () =>
    Effect.gen(function* () {
      const directory = yield* temporaryDirectory
      const started = yield* Deferred.make<void>()
      const endless = Stage.make({
        name: "endless",
        version: 1,
        output: Total,
        run: () =>
          Effect.gen(function* () {
            const path = yield* Stage.scratch
            yield* Effect.promise(() => writeFile(join(path, "half"), "half"))
            yield* Deferred.succeed(started, undefined)
            return yield* Effect.never
          }),
      })
      const running = yield* Effect.forkChild(
        Run.outputs({ out: endless({}) }).pipe(Effect.provide(Store.layer(directory))),
      )
      yield* Deferred.await(started)
      yield* Fiber.interrupt(running)
      for (const name of ["tmp", "locks"])
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(directory, name))), [])
    }),
  )
})
