/** `npm run equal-runs [-- name …]`: runs every shipped pipeline, or those named, twice and says what differs. */
import { Effect } from "effect"
import * as EqualRuns from "./EqualRuns.ts"

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => !Object.hasOwn(EqualRuns.settings, name))
if (unknown.length > 0) {
  process.stderr.write(
    `there is no pipeline ${unknown.join(", ")}; there are ${Object.keys(EqualRuns.settings).join(", ")}\n`,
  )
  process.exit(2)
}

for (const name of asked.length > 0 ? asked : Object.keys(EqualRuns.settings)) {
  const start = performance.now()
  const { different, stages } = await Effect.runPromise(EqualRuns.compare(name))
  const equal = `${stages - different.length} of ${stages} results are equal`
  process.stdout.write(
    `${name}: ${equal}, ${((performance.now() - start) / 1000).toFixed(0)} s${different.map((title) => `\n  differs: ${title}`).join("")}\n`,
  )
  if (different.length > 0) process.exitCode = 1
}
