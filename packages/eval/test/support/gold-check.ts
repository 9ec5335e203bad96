/**
 * Runs the problems' own solutions through the sandbox and counts what it accepts: `npm run gold`.
 *
 * Needs the reference data beside the repository. MBPP's task 123 is a brute force of more than ten seconds.
 */
import * as Sandbox from "../../src/code/Sandbox.ts"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { failures, sets } from "./Gold.ts"

const shared = fileURLToPath(new URL("../../../../../shared/", import.meta.url))

const main = Effect.gen(function* () {
  const sandbox = yield* Sandbox.make
  for (const { name, problems } of sets) {
    const all = problems(shared)
    const start = performance.now()
    const failed = yield* failures(sandbox, all)
    const seconds = (performance.now() - start) / 1000
    const exceptions = failed.length === 0 ? "" : `; not accepted: ${failed.join(", ")}`
    console.log(
      `${name}: ${all.length - failed.length}/${all.length} in ${seconds.toFixed(0)} s${exceptions}`,
    )
  }
})

if (existsSync(shared)) await Effect.runPromise(main)
else console.log("skipped: the reference data (../shared) are not beside the repository")
