/** Cuts a run at file-system calls: crashes there, and errors that the process survives. */
import { Store } from "@hila/core"
import { Disk } from "@hila/core/Disk"
import { type Fault, faultyDisk } from "@hila/core/testing"
import { Effect, Exit, Layer } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { aftermath } from "./aftermath.ts"
import { run } from "./subject.ts"

/** Runs the subject on a new store with a fault; the exit of the run, the calls made, and the aftermath checked. */
const cut = (fault: Fault | undefined) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "hila-faults-"))),
    (root) =>
      Effect.gen(function* () {
        const [directory, log] = [join(root, "store"), join(root, "bodies.log")]
        const { calls, disk } = faultyDisk(fault)
        const exit = yield* run({ log, pause: 0 }).pipe(
          Effect.provide(Layer.fresh(Store.layer(directory))),
          Effect.provideService(Disk, disk),
          Effect.exit,
        )
        // The last breath of a run that only had an error must leave nothing behind, even without a collection.
        yield* aftermath(directory, log)
        return { exit, calls }
      }),
    (root) => Effect.sync(() => rmSync(root, { recursive: true, force: true })),
  )

/** Every `stride`th call of a run, with each kind of fault. Dies at the first thing that does not hold. */
export const injection = (stride: number, report: (line: string) => void = () => undefined) =>
  Effect.gen(function* () {
    const clean = yield* cut(undefined)
    const total = clean.calls.length
    let failed = 0
    let tried = 0
    for (let call = 1; call <= total; call += stride) {
      const faults: ReadonlyArray<Fault> = [
        { _tag: "crash", call },
        { _tag: "error", call, code: call % 2 === 0 ? "ENOSPC" : "EACCES" },
      ]
      for (const fault of faults) {
        const { exit } = yield* cut(fault).pipe(
          Effect.catchCause((cause) =>
            Effect.die(new Error(`${JSON.stringify(fault)} at ${clean.calls[call - 1]}`, { cause })),
          ),
        )
        tried++
        if (Exit.isFailure(exit)) failed++
      }
    }
    report(`${tried} faults injected at ${total} file-system calls: ${failed} ended the run, all recovered`)
    return { tried, failed }
  })
