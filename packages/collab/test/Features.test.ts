import { assert, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { CausalModel, Checkpoint, EncoderModel, Runtime, Tokenizer } from "@hila/model"
import { Effect, Layer } from "effect"
import { stat } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import * as Expert from "../src/Expert.ts"
import * as Features from "../src/Features.ts"
import { Compute, HeadFit, HeadTables, HeadTraining, Metrics, Stages } from "../src/index.ts"
import * as Quantise from "../src/Quantise.ts"
import * as Query from "../src/Query.ts"
import * as View from "../src/View.ts"
import * as Family from "./support/family.ts"

const asked = Family.texts.test.slice(0, 6).map(({ text }) => text)
const [start, end] = [Family.specs[0]!, Family.specs[1]!]

const closeTo = (got: Float32Array, expected: Float32Array, tolerance: number) => {
  assert.strictEqual(got.length, expected.length)
  got.forEach((value, i) => assert.closeTo(value, expected[i]!, tolerance))
}

layer(Compute.layerWith({ workers: 1, threads: 1 }).pipe(Layer.provideMerge(Stage.layerDetached)))(
  "features",
  (it) => {
    it.effect("of an encoder are its pooled states and its own logits", () =>
      Effect.gen(function* () {
        const model = yield* Family.untrained(yield* Family.temporary, 0)
        const opened = yield* EncoderModel.open(model)
        const tokenizer = yield* Tokenizer.open(model)
        for (const pooling of ["first", "mean", "last"] as const) {
          const expert = yield* Expert.open(model, { ...end, pooling })
          const rows = (yield* tokenizer.encodeAll(asked)).map(View.of(end.view))
          const [readings, hidden, logits] = [
            yield* expert.read(asked),
            yield* opened.hidden(rows),
            yield* opened.logits(rows),
          ]
          const { width } = expert
          for (const [i, { features, logits: own }] of readings.entries()) {
            closeTo(own, logits[i]!, 1e-5)
            const count = rows[i]!.length
            const at = (t: number) => hidden[i]!.subarray(t * width, (t + 1) * width)
            const mean = Float32Array.from(
              { length: width },
              (_, j) =>
                Array.from({ length: count }, (_row, t) => at(t)[j]!).reduce((a, b) => a + b, 0) / count,
            )
            closeTo(features, pooling === "mean" ? mean : at(pooling === "first" ? 0 : count - 1), 1e-5)
          }
        }
      }).pipe(Effect.scoped),
    )

    it.effect("behind fewer layers are those of the model cut there, and keep the logits of the whole", () =>
      Effect.gen(function* () {
        const model = yield* Family.untrained(yield* Family.temporary, 0)
        const cut = { ...model, config: { ...model.config, num_hidden_layers: 1 } }
        const [whole, early, short] = [
          yield* Expert.open(model, start),
          yield* Expert.open(model, { ...start, layer: 1 }),
          yield* Expert.open(cut, start),
        ]
        const [a, b, c] = [yield* whole.read(asked), yield* early.read(asked), yield* short.read(asked)]
        a.forEach(({ logits }, i) => closeTo(b[i]!.logits, logits, 1e-6))
        b.forEach(({ features }, i) => closeTo(features, c[i]!.features, 1e-6))
        assert.isAbove(Math.abs(a[0]!.features[0]! - b[0]!.features[0]!), 1e-4)
      }).pipe(Effect.scoped),
    )

    it.effect("of a causal model are its last state and what it thinks of each label", () =>
      Effect.gen(function* () {
        const model = yield* Checkpoint.open(
          fileURLToPath(new URL("../../../fixtures/micro/math", import.meta.url)),
        )
        const spec: Expert.Spec = {
          name: "math",
          view: { from: "start", tokens: 20 },
          pooling: "last",
          prompt: { template: "Q: {text}\nA:", labels: [" 4\n", " 99\n"] },
        }
        const expert = yield* Expert.open(model, spec)
        const [reading] = yield* expert.read(["2+2"])
        assert.strictEqual(reading!.logits.length, 2)
        assert.isAbove(reading!.logits[0]!, reading!.logits[1]!)
        const whole = yield* CausalModel.open(model)
        const [hidden] = yield* whole.hidden(yield* expert.tokens(["2+2"]))
        closeTo(reading!.features, hidden!.slice(-expert.width), 1e-4)
        const early = yield* Expert.open(model, { ...spec, layer: 1 })
        const [first] = yield* early.read(["2+2"])
        assert.isAbove(Math.abs(first!.features[0]! - reading!.features[0]!), 1e-4)
      }).pipe(Effect.scoped),
    )

    it.effect("are kept in a file as they were read, set by set", () =>
      Effect.gen(function* () {
        const model = yield* Family.untrained(yield* Family.temporary, 0)
        const expert = yield* Expert.open(model, start)
        const rows = Family.texts.train
        const divided = {
          classes: Family.texts.classes,
          experts: [],
          heads: rows.slice(0, 9),
          validation: rows.slice(9, 14),
          test: rows.slice(14, 20),
        }
        const { bytes, classes, parameters, width } = expert
        const file = yield* Features.extract(divided, {
          info: { name: "start", width, classes, parameters, bytes },
          flops: (all) =>
            Effect.map(expert.tokens(all), (rows) => rows.map(({ length }) => expert.flops(length))),
          read: expert.read,
        })
        const table = yield* Features.read(file)
        assert.deepStrictEqual(
          Features.sets.map((set) => table.rows[set].count),
          [9, 5, 6],
        )
        const again = yield* expert.read(divided.test.map(({ text }) => text))
        closeTo(table.rows.test.features.slice(width, 2 * width), again[1]!.features, 1e-5)
        closeTo(table.rows.test.logits.slice(0, classes), again[0]!.logits, 1e-5)
        assert.isAbove(table.info.flops, 0)
      }).pipe(Effect.scoped),
    )

    it.effect("without logits get those of a linear probe, which learns", () =>
      Effect.gen(function* () {
        const label = (i: number) => i % 3
        const rowsOf = (count: number) =>
          Array.from({ length: count }, (_, i) => ({ text: String(i), label: label(i) }))
        const divided = {
          classes: ["a", "b", "c"],
          experts: [],
          heads: rowsOf(60),
          validation: rowsOf(30),
          test: rowsOf(30),
        }
        const state = (text: string) =>
          Float32Array.from(
            [0, 1, 2, 3],
            (c) => (c === label(Number(text)) ? 1 : 0) + 0.1 * Math.sin(c + Number(text)),
          )
        const file = yield* Features.extract(divided, {
          info: { name: "silent", width: 4, classes: 0, parameters: 10, bytes: 40 },
          flops: (all) => Effect.succeed(all.map(() => 1)),
          read: (texts) =>
            Effect.succeed(texts.map((text) => ({ features: state(text), logits: new Float32Array(0) }))),
        })
        const options = { ...HeadTraining.defaults, rate: 5e-2, epochs: 30, topK: 1, seed: 0 }
        const over = { features: [file], queries: file, texts: divided }
        const silent = yield* Effect.flip(Stages.cascade.run({ ...over, head: file }, { budget: 0.5 }))
        assert.strictEqual(
          silent.message,
          "cascade: reads class logits, and expert silent has none; give it a probe",
        )
        const data = yield* HeadTables.load([file], file, divided)
        const sizes = { width: 4, hidden: 4, heads: 1, rank: 1, groups: [], l2: [] }
        const gated = yield* Effect.flip(
          HeadFit.fit(data, 3, { strategy: "gated", ...sizes, ...options }, (_, make) => make),
        )
        assert.match(gated.message, /^strategy gated: reads class logits, .* or use a fusion of features$/)
        const probed = yield* Stages.probe.run(
          { features: file, texts: divided },
          { ...options, l2: [1e-4, 1e-2] },
        )
        const { info, rows } = yield* Features.read(probed)
        assert.deepStrictEqual([info.classes, info.parameters], [3, 10 + 5 * 3])
        const right = divided.test.map((row) => row.label)
        assert.deepStrictEqual([...Metrics.classesOf(rows.test.logits, 3)], right)
        closeTo(rows.heads.features, (yield* Features.read(file)).rows.heads.features, 0)
      }).pipe(Effect.scoped),
    )

    it.effect("are kept under what computes, exact 8-bit products included", () =>
      Effect.gen(function* () {
        const [compute, service] = [yield* Compute, yield* Runtime]
        assert.strictEqual(compute.identity, `${service.identity}, int8 exact`)
        assert.deepStrictEqual(Stages.features.environment, [Compute])
      }),
    )

    it.effect("of 8-bit weights are close to those of f32, in less than half of the bytes", () =>
      Effect.gen(function* () {
        const directory = yield* Family.temporary
        const model = yield* Family.untrained(directory, 0)
        const small = yield* Quantise.write(model, `${directory}/small`)
        const [whole, integers] = [yield* Expert.open(model, end), yield* Expert.open(small, end)]
        const [a, b] = [yield* whole.read(asked), yield* integers.read(asked)]
        a.forEach(({ features }, i) => closeTo(b[i]!.features, features, 0.1))
        a.forEach(({ logits }, i) => closeTo(b[i]!.logits, logits, 0.1))
        assert.isBelow(integers.bytes, whole.bytes / 2)
        assert.strictEqual(integers.parameters, whole.parameters)
        const sizes = yield* Effect.promise(() =>
          Promise.all([model, small].map(({ files }) => stat(files["model.safetensors"]!))),
        )
        assert.isBelow(sizes[1]!.size, sizes[0]!.size * 0.6)
        const queries = [yield* Query.open(model), yield* Query.open(small)]
        const [exact, rounded] = [yield* queries[0]!.of(asked), yield* queries[1]!.of(asked)]
        closeTo(rounded[0]!, exact[0]!, 1e-3)
      }).pipe(Effect.scoped),
    )
  },
)
