/** A process that runs the subject: `child.ts <store> <log> <pause>`; says `ready` first and the result last. */
import { Store } from "@hila/core"
import { Effect } from "effect"
import { run } from "./subject.ts"

const [directory = "", log = "", pause = "0"] = process.argv.slice(2)
process.stdout.write("ready\n")
const result = await Effect.runPromise(
  run({ log, pause: Number(pause) }).pipe(Effect.provide(Store.layer(directory))),
)
process.stdout.write(`${JSON.stringify(result)}\n`)
