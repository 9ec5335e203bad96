import { assert, describe, it, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { Checkpoint, type Example, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import * as GoldenLoss from "../src/GoldenLoss.ts"
import * as Stages from "../src/stages.ts"
import { checkpointPath, hasShared, shared } from "./fixtures.ts"

describe("GoldenLoss.retention", () => {
  it("is 1 at the expert, 0 at the base, negative below, and null where nothing was gained", () => {
    assert.strictEqual(GoldenLoss.retention({ base: 0.5, expert: 0.25, model: 0.25 }), 1)
    assert.strictEqual(GoldenLoss.retention({ base: 0.5, expert: 0.25, model: 0.5 }), 0)
    assert.strictEqual(GoldenLoss.retention({ base: 0.5, expert: 0.25, model: 0.75 }), -1)
    assert.isNull(GoldenLoss.retention({ base: 0.5, expert: 0.5, model: 0.1 }))
    assert.isNull(GoldenLoss.retention({ base: 0.5, expert: 0.6, model: 0.1 }))
  })
})

layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))("golden loss", (it) => {
  it.effect("refuses an empty golden set, and names that do not fit the sets", () =>
    Effect.gen(function* () {
      const model = yield* Checkpoint.open(checkpointPath("base"))
      const empty = yield* Effect.flip(Stages.goldenLoss.run({ model, golden: [[]] }, { domains: ["math"] }))
      assert.strictEqual(
        empty.message,
        "golden loss of math: the golden set is empty; give at least one example",
      )
      const unnamed = yield* Effect.flip(
        Stages.goldenLoss.run({ model, golden: [[], []] }, { domains: ["math"] }),
      )
      assert.strictEqual(
        unnamed.message,
        "golden loss: 1 names (math) for 2 golden sets; give one name for each",
      )
    }),
  )

  describe.skipIf(!hasShared)("against the reference losses (needs ../shared)", () => {
    const read = (expert: string) =>
      JSON.parse(readFileSync(new URL(`oracles/scoring/micro-${expert}.json`, shared), "utf8")) as {
        readonly samples: ReadonlyArray<Omit<Example.Example, "response">>
        readonly lossBase: ReadonlyArray<number>
      }

    it.effect("is the reference's, example by example, over several sets", () =>
      Effect.gen(function* () {
        const domains = ["math", "code", "lang"]
        const oracles = domains.map(read)
        const golden = oracles.map(({ samples }) => samples.map((sample) => ({ ...sample, response: "" })))
        const model = yield* Checkpoint.open(checkpointPath("base"))
        const loss = yield* Stages.goldenLoss.run({ model, golden }, { domains })
        assert.deepStrictEqual(
          loss.domains.map(({ domain, n }) => [domain, n]),
          domains.map((domain) => [domain, 16]),
        )
        oracles.forEach(({ lossBase }, set) =>
          lossBase.forEach((expected, k) =>
            assert.approximately(loss.domains[set]?.losses[k] ?? Number.NaN, expected, 1e-5),
          ),
        )
      }),
    )
  })
})
