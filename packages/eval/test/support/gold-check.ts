/**
 * Runs the problems' own solutions through the sandbox and counts what it accepts: `npm run gold`.
 *
 * Needs the reference data beside the repository. Problems that are known not to be accepted everywhere are named with
 * what happened here; any other that is not accepted ends the check with 1.
 */
import * as Sandbox from "../../src/code/Sandbox.ts"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { failures, seconds, sets } from "./Gold.ts"

const shared = fileURLToPath(new URL("../../../../../shared/", import.meta.url))

const main = Effect.gen(function* () {
  const sandbox = yield* Sandbox.make
  for (const { exceptions = {}, name, problems } of sets) {
    const all = problems(shared)
    const start = performance.now()
    const failed = yield* failures(sandbox, all)
    const elapsed = (performance.now() - start) / 1000
    console.log(
      `${name}: ${all.length - failed.length}/${all.length} in ${elapsed.toFixed(0)} s, at most ${seconds} s each`,
    )
    for (const [id, why] of Object.entries(exceptions)) {
      console.log(
        `  known exception ${id}, ${failed.includes(id) ? "not accepted" : "accepted"} here: ${why}`,
      )
    }
    const unknown = failed.filter((id) => !Object.hasOwn(exceptions, id))
    if (unknown.length > 0) {
      console.log(`  not accepted: ${unknown.join(", ")}`)
      process.exitCode = 1
    }
  }
})

if (existsSync(shared)) await Effect.runPromise(main)
else console.log("skipped: the reference data (../shared) are not beside the repository")
