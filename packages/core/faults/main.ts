/** Every fault there is: `npm run test:faults`. Prints a line per kind; dies at the first thing that does not hold. */
import { Effect } from "effect"
import { injection } from "./injection.ts"
import { kills, together } from "./processes.ts"

const report = (line: string) => process.stdout.write(`${line}\n`)

await Effect.runPromise(
  Effect.gen(function* () {
    yield* injection(1, report)
    yield* kills(120, report)
    for (const count of [2, 4]) for (let round = 0; round < 5; round++) yield* together(count, report)
  }),
)
