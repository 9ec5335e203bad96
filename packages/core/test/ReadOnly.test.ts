/** A store that may only be read from: runs whose results are all there go through, others say what is in their way. */
import { Run, Store } from "@hila/core"
import * as Disk from "@hila/core/Disk"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { observed } from "../src/testing.ts"
import { expected, run } from "../faults/subject.ts"
import { temporaryDirectory } from "./temporary.ts"
import { toy } from "./toy.ts"

/** The disk, where every call that would write below a directory is refused. */
const readOnly = (directory: string, code: string): Disk.Disk => {
  const guarded =
    <Args extends ReadonlyArray<unknown>, A>(call: (...args: Args) => Promise<A>) =>
    (...args: Args) =>
      args.some((arg) => typeof arg === "string" && arg.startsWith(directory))
        ? Promise.reject(Object.assign(new Error(code), { code }))
        : call(...args)
  const { node } = Disk
  return {
    ...node,
    write: guarded(node.write),
    receive: guarded(node.receive),
    append: guarded(node.append),
    makeDirectory: guarded(node.makeDirectory),
    link: guarded(node.link),
    copy: guarded(node.copy),
    rename: guarded(node.rename),
    remove: guarded(node.remove),
    removeEmpty: guarded(node.removeEmpty),
    chmod: guarded(node.chmod),
    touch: guarded(node.touch),
  }
}

const below = (directory: string) => readdirSync(directory, { recursive: true }).map(String).toSorted()

describe("a store that may only be read from", () => {
  for (const code of ["EROFS", "EACCES", "EPERM"]) {
    it.live(`gives what is there, and is as it was (${code})`, () =>
      Effect.gen(function* () {
        const at = join(yield* temporaryDirectory, "store")
        const log = join(at, "..", "bodies.log")
        const go = observed(run({ log, pause: 0 }))
        yield* Effect.provide(go, Store.layer(at))
        const before = below(at)
        const again = yield* go.pipe(
          Effect.provide(Store.layer(at)),
          Effect.provideService(Disk.Disk, readOnly(at, code)),
        )
        assert.deepStrictEqual([again.value, again.ran], [expected, []])
        assert.deepStrictEqual(below(at), before)

        const { scale, source } = toy()
        const more = Run.outputs({ more: scale({ numbers: source([1, 2]) }, { by: 77 }) })
        const error = yield* Effect.flip(more).pipe(
          Effect.provide(Store.layer(at)),
          Effect.provideService(Disk.Disk, readOnly(at, code)),
        )
        assert.match(
          String(error),
          /cannot (lock|create|publish to) .*; name another directory with --store$/,
        )
        assert.deepStrictEqual(below(at), before)
      }),
    )
  }

  it.live("is none that is not there yet: that cannot be written is said", () =>
    Effect.gen(function* () {
      const at = join(yield* temporaryDirectory, "store")
      const error = yield* Effect.flip(run({ log: join(at, "..", "bodies.log"), pause: 0 })).pipe(
        Effect.provide(Store.layer(at)),
        Effect.provideService(Disk.Disk, readOnly(at, "EROFS")),
      )
      assert.match(String(error), /the file system is read-only; name another directory with --store$/)
    }),
  )
})
