import { assert, describe, layer } from "@effect/vitest"
import { Checkpoint, EncoderModel, Tokenizer } from "@hila/model"
import { Effect } from "effect"
import { readFile } from "node:fs/promises"
import { Compute } from "../src/index.ts"
import * as EncoderFiles from "../src/training/EncoderFiles.ts"
import * as EncoderTraining from "../src/training/EncoderTraining.ts"
import * as Family from "./support/family.ts"

const weights = (checkpoint: Checkpoint.Checkpoint) =>
  Effect.promise(() => readFile(checkpoint.files["model.safetensors"]!))

layer(Compute.layerWith({ workers: 1, threads: 1 }))("training encoders", (it) => {
  it.effect("lowers the loss, gives the same bytes for the same seed, and a checkpoint that opens", () =>
    Effect.gen(function* () {
      const directory = yield* Family.temporary
      const first = yield* Family.train(directory, 0)
      const again = yield* Family.train(directory, 0, "again")
      assert.isBelow(first.curve.at(-1)!, first.curve[0]!)
      assert.deepStrictEqual(yield* weights(first.checkpoint), yield* weights(again.checkpoint))
      const model = yield* EncoderModel.open(first.checkpoint)
      const tokenizer = yield* Tokenizer.open(first.checkpoint)
      const tokens = yield* tokenizer.encode(Family.texts.test[0]!.text)
      assert.strictEqual(yield* tokenizer.decode(tokens.slice(0, 1)), "[CLS]")
      assert.notInclude(tokens, 1)
      const [logits] = yield* model.logits([tokens.slice(0, 20)])
      assert.strictEqual(logits!.length, Family.texts.classes.length)
      const config = JSON.parse(
        yield* Effect.promise(() => readFile(first.checkpoint.files["config.json"]!, "utf8")),
      )
      assert.deepStrictEqual(config.architectures, ["BertForSequenceClassification"])
      assert.strictEqual(Object.keys(first.checkpoint.files).includes("vocab.txt"), true)
    }).pipe(Effect.scoped),
  )

  it.effect("has gradients that agree with differences of the loss", () =>
    Effect.gen(function* () {
      const directory = yield* Family.temporary
      const parameters = EncoderFiles.initial(Family.size, Family.vocabulary.length, 3, 7)
      const { classes } = Family.texts
      yield* EncoderFiles.write(`${directory}/e`, {
        size: Family.size,
        vocabulary: Family.vocabulary,
        classes,
        parameters,
      })
      const step = yield* EncoderTraining.open(yield* Checkpoint.open(`${directory}/e`))
      const samples = [
        { tokens: [2, 40, 41, 42, 3], label: 0 },
        { tokens: [2, 50, 40, 3], label: 2 },
      ]
      const loss = Effect.map(
        step(parameters, samples),
        ({ logLikelihood }) => -(logLikelihood[0]! + logLikelihood[1]!) / 2,
      )
      const { gradients } = yield* step(parameters, samples)
      const entries: ReadonlyArray<readonly [string, number]> = [
        ["bert.embeddings.word_embeddings.weight", 40 * 16 + 3],
        ["bert.embeddings.position_embeddings.weight", 17],
        ["bert.embeddings.token_type_embeddings.weight", 5],
        ["bert.encoder.layer.0.attention.self.query.weight", 9],
        ["bert.encoder.layer.1.output.LayerNorm.weight", 2],
        ["classifier.weight", 20],
      ]
      for (const [name, at] of entries) {
        const { data } = parameters.get(name)!
        const value = data[at]!
        const width = 1e-2
        data[at] = value + width
        const above = yield* loss
        data[at] = value - width
        const below = yield* loss
        data[at] = value
        const expected = (above - below) / (2 * width)
        assert.closeTo(gradients.get(name)![at]!, expected, 2e-4 + 0.02 * Math.abs(expected), name)
      }
    }).pipe(Effect.scoped),
  )
})

describe("parameters of an encoder", () => {
  layer(Compute.layerWith({ workers: 1 }))((it) => {
    it.effect("are named and shaped as the architecture wants them", () =>
      Effect.gen(function* () {
        const directory = yield* Family.temporary
        const { classes } = Family.texts
        const parameters = EncoderFiles.initial(Family.size, Family.vocabulary.length, classes.length, 0)
        yield* EncoderFiles.write(`${directory}/e`, {
          size: Family.size,
          vocabulary: Family.vocabulary,
          classes,
          parameters,
        })
        const shape = yield* Checkpoint.validateEncoder(yield* Checkpoint.open(`${directory}/e`))
        assert.deepStrictEqual([...shape.classifier.labels], [...classes])
        assert.sameMembers([...shape.expected.keys()], [...parameters.keys()])
      }).pipe(Effect.scoped),
    )
  })
})
