import { Store } from "@hila/core"
import { Disk } from "@hila/core/Disk"
import { faultyDisk } from "@hila/core/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { chmod, mkdir, rm, stat, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { injection } from "../faults/injection.ts"
import { kills, together } from "../faults/processes.ts"
import { expected, run } from "../faults/subject.ts"
import { temporaryDirectory } from "./temporary.ts"

describe("Faults", () => {
  it.live("a run cut at a file-system call leaves a store that the next run completes", () =>
    Effect.gen(function* () {
      const { failed, tried } = yield* injection(37)
      assert.isAbove(failed, tried / 3)
    }),
  )

  it.live("a killed run leaves a store that the next run completes", () => kills(3))

  it.live("two and four processes on one store run every body once", () =>
    Effect.andThen(together(2), together(4)),
  )
})

const subject = Effect.gen(function* () {
  const root = yield* temporaryDirectory
  const directory = join(root, "store")
  const log = join(root, "bodies.log")
  const go = run({ log, pause: 0 }).pipe(Effect.provide(Store.layer(directory)))
  const blobs = Effect.flatMap(Store, (store) => store.actions).pipe(
    Effect.provide(Store.layer(directory)),
    Effect.map((actions) => actions.map(({ digest }) => join(directory, "cas", digest.slice(0, 2), digest))),
  )
  return { directory, go, blobs }
})

describe("A broken store", () => {
  for (const [code, words] of [
    ["ENOSPC", "no space left on the device"],
    ["EACCES", "permission denied; name another directory with --store"],
  ] as const) {
    it.live(`answers ${code} while it publishes with one line, and works once that is over`, () =>
      Effect.gen(function* () {
        const { directory, go } = yield* subject
        const clean = faultyDisk()
        yield* Effect.provideService(go, Disk, clean.disk)
        yield* Effect.promise(() => rm(directory, { recursive: true }))
        const { disk } = faultyDisk({ _tag: "error", call: clean.calls.lastIndexOf("link") + 1, code })
        const error = yield* Effect.flip(Effect.provideService(go, Disk, disk))
        assert.strictEqual(error.message, `store: cannot publish to ${directory}: ${words}`)
        assert.deepStrictEqual(yield* go, expected)
      }),
    )
  }

  it.live("computes again what somebody wrote to, and says that it is damaged", () =>
    Effect.gen(function* () {
      const { blobs, go } = yield* subject
      yield* go
      for (const path of yield* blobs) {
        yield* Effect.promise(async () => {
          const { size } = await stat(path)
          await chmod(path, 0o644)
          await writeFile(path, "x".repeat(size))
        })
        assert.deepStrictEqual(yield* go, expected)
      }
    }),
  )

  it.live("trusts a blob again whose times were changed and nothing else", () =>
    Effect.gen(function* () {
      const { blobs, directory, go } = yield* subject
      yield* go
      for (const path of yield* blobs) yield* Effect.promise(() => utimes(path, 5, 5))
      assert.deepStrictEqual(yield* go, expected)
      const runs = yield* Effect.provide(
        Effect.flatMap(Store, (store) => Effect.flatMap(store.runs, (all) => store.events(all.at(-1) ?? ""))),
        Store.layer(directory),
      )
      assert.isFalse(runs.some((line) => line.includes('"Started"')))
    }),
  )

  it.live("refuses a store of a later layout in one line that says what to do", () =>
    Effect.gen(function* () {
      const { directory, go } = yield* subject
      yield* Effect.promise(async () => {
        await mkdir(directory)
        await writeFile(join(directory, "format"), "2\n")
      })
      const error = yield* Effect.flip(go)
      assert.strictEqual(
        error.message,
        `store: cannot open ${directory}: it has layout 2, this Hila knows 1: update Hila, or name another directory with --store`,
      )
    }),
  )

  it.live("takes a record that it cannot read for none", () =>
    Effect.gen(function* () {
      const { directory, go } = yield* subject
      yield* go
      const actions = yield* Effect.provide(
        Effect.flatMap(Store, (store) => store.actions),
        Store.layer(directory),
      )
      for (const { ingredients, key } of actions) {
        const path = join(directory, "actions", ingredients.stage, `${key}.json`)
        yield* Effect.promise(() => writeFile(path, '{"key":"'))
        const exit = yield* Effect.exit(go)
        assert.deepStrictEqual(exit, Exit.succeed(expected))
      }
    }),
  )
})
