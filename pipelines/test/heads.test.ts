import { assert, layer } from "@effect/vitest"
import { Compute, Features, Head, HeadData, HeadProgram, HeadTraining, Metrics } from "@hila/collab"
import { Stage } from "@hila/core"
import { Effect, Layer } from "effect"
import { trainChosen, tuneHead } from "../stages/TunedHeads.ts"

const [classes, width] = [3, 4]
const rowsOf = (count: number) =>
  Array.from({ length: count }, (_, i) => ({ text: String(i), label: i % classes }))
const texts = {
  classes: ["a", "b", "c"],
  experts: [],
  heads: rowsOf(60),
  validation: rowsOf(30),
  test: rowsOf(30),
}

/** An expert whose state says the class of a text, with a little noise. */
const expert = (name: string, phase: number) =>
  Features.extract(texts, {
    info: { name, width, classes, parameters: 10, bytes: 40 },
    flops: (all) => Effect.succeed(all.map(() => 1)),
    read: (asked) =>
      Effect.succeed(
        asked.map((text) => {
          const said = (c: number) =>
            (c === Number(text) % classes ? 1 : 0) + 0.2 * Math.sin(phase + c + Number(text))
          return {
            features: Float32Array.from([0, 1, 2, 3], said),
            logits: Float32Array.from([0, 1, 2], said),
          }
        }),
      ),
  })

const start = {
  ...HeadTraining.defaults,
  strategy: "gatedFeatures" as const,
  width: 8,
  hidden: 4,
  heads: 2,
  rank: 1,
  groups: [],
  l2: [],
  batch: 16,
  epochs: 8,
  topK: 2,
  seed: 0,
}

layer(Layer.mergeAll(Compute.layerWith({ workers: 1, threads: 1 }), Stage.layerDetached))(
  "tuning a head",
  (it) => {
    it.effect("takes the setting that is best on the validation rows, and trains its head", () =>
      Effect.gen(function* () {
        const features = [yield* expert("one", 0), yield* expert("two", 2)]
        const over = { features, queries: features[0]!, texts }
        // At the first rates nothing is learned; 7 is no multiple of two attention heads and counts as 8.
        const domains = { rate: [1e-7, 5e-2], gateRate: [1e-7], jointRate: [1e-7], width: [7] } as const
        const tuning = yield* tuneHead.run(over, { start, domains, search: { _tag: "grid" } })
        assert.deepStrictEqual(
          tuning.trials.map(({ setting }) => setting["rate"]),
          [1e-7, 5e-2],
        )
        assert.strictEqual(tuning.best.setting["rate"], 5e-2)
        assert.strictEqual(tuning.best.cost, Math.min(...tuning.trials.map(({ cost }) => cost)))
        const { setting } = tuning.best
        const chosen = { variant: "", directions: [0], setting }
        const file = yield* trainChosen.run({ ...over, choice: chosen }, { start })
        assert.strictEqual((yield* Head.read(file)).spec.width, 8)
        const tables = yield* Effect.forEach(features, Features.read)
        const labels = texts.validation.map(({ label }) => label)
        const head = yield* HeadProgram.open(file)
        const { logProbabilities } = yield* head.run(HeadData.of(tables, tables[0]!, "validation", labels))
        const macroF1 = Metrics.macroF1(Metrics.classesOf(logProbabilities, classes), labels, classes)
        assert.closeTo(1 - macroF1, tuning.best.cost, 1e-4)
        const nll = Metrics.nll(logProbabilities, Int32Array.from(labels), classes)
        assert.closeTo(nll, tuning.best.losses[0]!, 1e-6)
      }).pipe(Effect.scoped),
    )

    it.effect("says which setting a head cannot have", () =>
      Effect.gen(function* () {
        const features = [yield* expert("one", 0), yield* expert("two", 2)]
        const domains = { rate: [-1] } as const
        const error = yield* Effect.flip(
          tuneHead.run(
            { features, queries: features[0]!, texts },
            { start, domains, search: { _tag: "grid" } },
          ),
        )
        assert.match(error.message, /^setting of a head: Expected a value greater than 0.*"rate"/)
      }).pipe(Effect.scoped),
    )
  },
)
