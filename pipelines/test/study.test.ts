import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { hila, temporaryStore } from "./command.ts"

const pipeline = fileURLToPath(new URL("../importance-study.ts", import.meta.url))

describe("pipelines/importance-study.ts", () => {
  it.effect(
    "compares methods on one expert, and its draws with each other",
    () =>
      Effect.gen(function* () {
        const store = yield* temporaryStore
        const small = ["golden=4", "scheme=layer", 'methods=["revert","fisherDiagonal","magnitude"]']
        const { code, error, out } = yield* hila([
          "run",
          pipeline,
          "math",
          "--store",
          store,
          ...small.flatMap((option) => ["--set", option]),
        ])
        assert.strictEqual(error, "")
        assert.strictEqual(code, 0)
        assert.include(out, "Agreement on 4 examples, 4 units:")
        assert.match(out, /\| revert +\| +1\.00 \| +-?\d\.\d\d \| +-?\d\.\d\d \|/)
        assert.match(out, /\| Spearman \| 4 of all \| 4, two draws \|/)
        assert.match(out, /\| fisherDiagonal +\| +1\.00 \| +-?\d\.\d\d \|/)
        assert.match(out, /\| revert, path \(Q = 32\) \| +-?\d\.\d\d \|/)
      }),
    180_000,
  )
})
