/** The comparison from end to end on two specialists, and what another λ or budget leaves as it is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cp } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { hila, temporaryStore } from "./command.ts"

const pipeline = fileURLToPath(new URL("../compare.ts", import.meta.url))
const fixtures = fileURLToPath(new URL("../../fixtures/micro/", import.meta.url))

describe("pipelines/compare.ts", () => {
  it.effect(
    "tunes and judges the rows asked for, and keeps golden data, scores and masks when only the search changes",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryStore
        const family = join(directory, "family")
        for (const name of ["base", "lang", "math"])
          yield* Effect.promise(() => cp(join(fixtures, name), join(family, name), { recursive: true }))
        const of = (budget: number) => {
          const set = { family, golden: 4, budget, rows: '["HILA, pruning only"]' }
          const options = Object.entries(set).flatMap(([name, value]) => ["--set", `${name}=${value}`])
          return [pipeline, "--store", join(directory, "store"), ...options]
        }

        const { code, error, out } = yield* hila(["run", ...of(2)])
        assert.strictEqual(error, "")
        assert.strictEqual(code, 0)
        const results = out.slice(out.indexOf("\nresults\n"))
        const merges = ["task arithmetic", "HILA, pruning only"]
        for (const row of ["base", "lang", "math", "average", ...merges])
          assert.match(results, new RegExp(`^\\| ${row} \\| -?\\d+\\.\\d{3} \\|`, "m"))
        assert.match(results, /^\| base \| 0\.000 \|/m)
        assert.match(results, /^\| math \|(?:[^|]*\|){4} 1\.000 \|/m)
        const tuned = out.slice(out.indexOf("\ntuned\n"), out.indexOf("\nresults\n"))
        for (const row of merges) assert.include(tuned, `| ${row} | `)

        const { out: plan } = yield* hila(["plan", ...of(3)])
        for (const kept of ["golden math score", "importance 0 revert kvGroup", "prune 0 density 0.3"])
          assert.match(plan, new RegExp(`${kept}[^\\n]* hit `))
        assert.match(plan, /tune task arithmetic +run +domains/)
      }),
    600_000,
  )
})
