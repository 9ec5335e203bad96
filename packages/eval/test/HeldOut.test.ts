import { assert, describe, layer } from "@effect/vitest"
import { Run, Source, Stage, Store } from "@hila/core"
import { CausalModel, Checkpoint, Runtime, Statistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { join } from "node:path"
import * as Drift from "../src/Drift.ts"
import * as HeldOut from "../src/HeldOut.ts"
import * as Stages from "../src/stages.ts"
import { checkpointPath, hasShared, shared } from "./fixtures.ts"

const open = Effect.fnUntraced(function* (path: string) {
  return yield* CausalModel.open(yield* Checkpoint.open(path))
})
const texts = ["Q: 83-61\nA: 22\n", "Q: max(69,34)\nA: 69\n", "Q: 7+5\nA: 12\n"]

/** −log p of tokens after the beginning of a sequence, from logits, position by position. */
const slowLogLikelihood = (logits: Float32Array, tokens: ReadonlyArray<number>, width: number) =>
  tokens.slice(1).reduce((sum, token, i) => {
    const row = Array.from(logits.subarray(i * width, (i + 1) * width))
    return sum + (row[token] ?? 0) - Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0))
  }, 0)

layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))("held-out material", (it) => {
  it.effect("gives bits per byte of documents as their logits do, and of their beginnings", () =>
    Effect.gen(function* () {
      const model = yield* open(checkpointPath("math"))
      const tokenizer = yield* model.tokenizer
      const width = model.shape.vocabSize
      const fits = yield* HeldOut.documents(model, texts)
      for (const [i, text] of texts.entries()) {
        const tokens = [1, ...(yield* tokenizer.encode(text, { addSpecial: false }))]
        const [logits = new Float32Array()] = yield* model.logits([tokens])
        const expected = -slowLogLikelihood(logits, tokens, width) / Math.LN2 / text.length
        assert.approximately(fits[i]?.bitsPerByte ?? 0, expected, 1e-4)
        assert.strictEqual(fits[i]?.bytes, text.length)
      }
      const [short] = yield* HeldOut.documents(model, ["é".repeat(5) + texts[0]], { maxTokens: 8 })
      assert.isBelow(short?.bytes ?? 99, 10 + (texts[0]?.length ?? 0))
      const failure = yield* Effect.flip(HeldOut.documents(model, ["a", ""]))
      assert.include(failure.message, "document 1 is empty")
    }),
  )

  it.effect("knows which choices are right, by sum and per character", () =>
    Effect.gen(function* () {
      const model = yield* open(checkpointPath("math"))
      const context = "Q: 7+5\nA:"
      const right = yield* HeldOut.choices(model, [
        { context, choices: [" 3\n", " 12\n"], gold: 1 },
        { context, choices: [" 3\n", " 12\n"], gold: 0 },
      ])
      assert.deepStrictEqual(right, [
        { right: 1, rightPerCharacter: 1 },
        { right: 0, rightPerCharacter: 0 },
      ])
      const failure = yield* Effect.flip(HeldOut.choices(model, [{ context, choices: [" 1"], gold: 1 }]))
      assert.strictEqual(
        failure.message,
        "choices: item 0 has 1 choices and the gold index 1; expected texts that are not empty, and the index of one",
      )
    }),
  )

  it.effect("measures drift as the mean divergence of next-token distributions, 0 from itself", () =>
    Effect.gen(function* () {
      const [base, model] = [yield* open(checkpointPath("base")), yield* open(checkpointPath("math"))]
      assert.deepStrictEqual(yield* Drift.measure(base, base, texts), [0, 0, 0])
      const drift = yield* Drift.measure(base, model, texts)
      const tokenizer = yield* base.tokenizer
      const width = base.shape.vocabSize
      for (const [t, text] of texts.entries()) {
        const tokens = [1, ...(yield* tokenizer.encode(text, { addSpecial: false }))].slice(0, -1)
        const [p = new Float32Array()] = yield* base.logits([tokens])
        const [q = new Float32Array()] = yield* model.logits([tokens])
        const softmax = (row: ReadonlyArray<number>) => {
          const sum = row.reduce((total, logit) => total + Math.exp(logit), 0)
          return row.map((logit) => Math.exp(logit) / sum)
        }
        const row = (logits: Float32Array, i: number) =>
          softmax(Array.from(logits.subarray(i * width, (i + 1) * width)))
        const kl = tokens.map((_, i) => {
          const [a, b] = [row(p, i), row(q, i)]
          return a.reduce((sum, value, v) => sum + value * Math.log(value / (b[v] ?? 0)), 0)
        })
        assert.approximately(drift[t] ?? 0, Statistics.mean(kl), 1e-6)
        assert.isAbove(drift[t] ?? 0, 0.01)
      }
      const failure = yield* Effect.flip(Drift.measure(base, model, ["a", ""]))
      assert.include(failure.message, "text 1 has no tokens")
    }),
  )

  it.effect("are stages, read back from the store", () =>
    Effect.gen(function* () {
      const material = Source.value(HeldOut.artifact, {
        documents: texts,
        label: [{ context: "Q: 7+5\nA:", choices: [" 3\n", " 12\n"], gold: 1 }],
      })
      const [base, model] = ["base", "math"].map((name) => Checkpoint.source(checkpointPath(name)))
      if (base === undefined || model === undefined) return yield* Effect.die("no models")
      const outputs = {
        fit: Stages.heldOut({ model, material }, { domain: "math", documents: 2 }),
        drift: Stages.drift({ base, model, neutral: material }, { maxTokens: 6 }),
      }
      const store = Store.layer(join(yield* Stage.scratch, "store"))
      const first = yield* Effect.provide(Run.outputs(outputs), store)
      assert.strictEqual(first.fit.documents.length, 2)
      assert.deepStrictEqual(first.fit.label, [{ right: 1, rightPerCharacter: 1 }])
      assert.deepStrictEqual(first.fit.continuation, [])
      assert.match(HeldOut.summary(first.fit), /^math \d\.\d{3} bits per byte, label 1\.000 ± 0\.000 right/)
      assert.strictEqual(first.drift.texts.length, 3)
      assert.strictEqual(first.drift.mean, Statistics.mean(first.drift.texts))
      assert.deepStrictEqual(yield* Effect.provide(Run.outputs(outputs), store), first)
    }),
  )

  describe.skipIf(!hasShared)("the realtext family (needs ../shared)", () => {
    it.effect("has the recorded bits per byte and choices", () =>
      Effect.gen(function* () {
        const family = new URL("models/realtext/", shared)
        const recorded = Schema.decodeUnknownSync(
          Schema.fromJsonString(
            Schema.Record(
              Schema.String,
              Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Finite)),
            ),
          ),
        )(readFileSync(new URL("report.json", family), "utf8"))
        const model = yield* open(fileURLToPath(new URL("zh/", family)))
        const material = Schema.decodeUnknownSync(Schema.fromJsonString(HeldOut.HeldOut))(
          readFileSync(new URL("eval/zh.json", family), "utf8"),
        )
        const fits = yield* HeldOut.documents(model, material.documents.slice(0, 60), { maxTokens: 400 })
        assert.approximately(HeldOut.bitsPerByte(fits), recorded["zh"]?.["zh"]?.["bpb"] ?? 0, 2e-4)
        const items = yield* HeldOut.choices(model, (material.continuation ?? []).slice(0, 100))
        const right = Statistics.mean(items.map(({ rightPerCharacter }) => rightPerCharacter))
        assert.approximately(right, recorded["zh"]?.["zh"]?.["continuation"] ?? 0, 1e-9)
      }),
    )
  })
})
