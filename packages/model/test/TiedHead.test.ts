// A head that is stored though the config ties it. What transformers 5.24 makes of llama, gemma, gpt2 and gpt_neox saved
// so: other values are used and not tied, equal values are tied, a head alone is the embedding too.
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Logger } from "effect"
import {
  Architecture,
  BlockModel,
  CausalModel,
  Checkpoint,
  InterpolatedGates,
  InterpolatedModel,
  Runtime,
  type Safetensors,
  StatisticsModel,
  UnitInterventions,
  VirtualMerge,
} from "../src/index.ts"
import { runtimeBytes } from "../src/blocks/Budget.ts"
import * as TiedHead from "../src/checkpoint/TiedHead.ts"
import { micro, microBase } from "./support/fixtures.ts"
import { example } from "./support/models.ts"

const [embedding, head] = ["model.embed_tokens.weight", "lm_head.weight"]
const tokens = [5, 9, 2, 6, 5, 3, 77, 12]
const examples = [example(tokens, 3)]

type Model = Checkpoint.Checkpoint

const withTensor = (model: Model, name: string, info: Safetensors.TensorInfo): Model => ({
  ...model,
  tensors: new Map([...model.tensors, [name, { ...info, name }]]),
})
const saying = (model: Model, tied: boolean): Model => ({
  ...model,
  config: { ...model.config, tie_word_embeddings: tied },
})
/** The base with the embedding of another model as its head, which lies in another file, as shards do. */
const headed = Effect.fnUntraced(function* () {
  const [base, other] = [yield* Checkpoint.open(microBase), yield* Checkpoint.open(micro[1]!)]
  return { base, other, model: withTensor(base, head, other.tensors.get(embedding)!) }
})

/** Numbers of a model by every way it is opened. */
const numbers = Effect.fnUntraced(function* (model: Model, base: Model) {
  const open = yield* CausalModel.open(model)
  const blocks = yield* BlockModel.open(model, { memory: runtimeBytes + 2 ** 24 })
  const delta = yield* InterpolatedModel.open(base, model)
  const merged = yield* VirtualMerge.open(base, [model], () => "all")
  const moves = yield* UnitInterventions.openAblations(model, examples, "zero")
  const statistics = yield* StatisticsModel.open(model)
  const [pass] = yield* statistics.passes({ kind: "kronecker" })
  return {
    logits: yield* open.logits([tokens]),
    losses: yield* open.losses(examples),
    sensitivity: yield* open.sensitivity(examples),
    blocks: yield* blocks.losses(examples),
    gradients: yield* blocks.gradients(examples),
    delta: yield* delta.losses(examples, InterpolatedGates.filled(open.shape, 0.5)),
    merged: yield* merged.losses(examples, Float32Array.of(0.5)),
    unmoved: yield* moves.unmoved,
    statistics: yield* statistics.collect(pass!, examples),
  }
})

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("A head stored beside the embedding", (it) => {
  it.effect("with other values: every way of opening computes as where the config does not tie", () =>
    Effect.gen(function* () {
      const { base, model } = yield* headed()
      const tied = yield* numbers(saying(model, true), saying(model, true))
      const untied = yield* numbers(saying(model, false), saying(model, false))
      assert.deepStrictEqual(tied, untied)
      const without = yield* CausalModel.open(base)
      assert.notDeepEqual(tied.logits, yield* without.logits([tokens]))
    }),
  )

  it.effect("with the same values: as if it were not stored", () =>
    Effect.gen(function* () {
      const base = yield* Checkpoint.open(microBase)
      const copied = withTensor(base, head, base.tensors.get(embedding)!)
      assert.deepStrictEqual(yield* numbers(copied, base), yield* numbers(base, base))
    }),
  )

  it.effect("without the embedding: it is the embedding too", () =>
    Effect.gen(function* () {
      const base = yield* Checkpoint.open(microBase)
      const tensors = new Map(withTensor(base, head, base.tensors.get(embedding)!).tensors)
      tensors.delete(embedding)
      const [whole, alone] = [yield* CausalModel.open(base), yield* CausalModel.open({ ...base, tensors })]
      assert.isTrue(alone.shape.tiedEmbeddings)
      assert.deepStrictEqual(yield* alone.logits([tokens]), yield* whole.logits([tokens]))
    }),
  )

  it.effect("is told where it counts, and nowhere else", () =>
    Effect.gen(function* () {
      const lines: Array<unknown> = []
      const collect = Logger.layer([Logger.make(({ message }) => void lines.push(message))])
      const { base, model } = yield* headed()
      for (const quiet of [base, saying(model, false), withTensor(base, head, base.tensors.get(embedding)!)])
        yield* Effect.provide(CausalModel.open(quiet), collect)
      assert.deepStrictEqual(lines, [])
      yield* Effect.provide(CausalModel.open(model), collect)
      assert.strictEqual(lines.length, 1)
      assert.match(
        String(lines[0]),
        /config\.json: lm_head\.weight differs from the embedding that the config ties it to: the stored head is used/,
      )
    }),
  )
})

describe("Heads of model types that tie by default", () => {
  const small = { vocab_size: 320, hidden_size: 128, intermediate_size: 64, num_hidden_layers: 1 }
  const heads = { num_attention_heads: 2, num_key_value_heads: 2, head_dim: 64 }
  const gpt2 = { vocab_size: 320, n_embd: 128, n_layer: 1, n_head: 2 }
  const types = [
    ...["gemma", "gemma2", "gemma3_text", "cohere", "starcoder2"].map((type) => [type, head] as const),
    ["gpt2", head] as const,
  ]
  for (const [model_type, name] of types) {
    it.effect(`${model_type}: a stored head counts where it differs, and is a copy where it does not`, () =>
      Effect.gen(function* () {
        const { base, other } = yield* headed()
        const config = { model_type, ...(model_type === "gpt2" ? gpt2 : { ...small, ...heads }) }
        const shape = yield* Architecture.resolve(config)
        assert.isTrue(shape.tiedEmbeddings)
        const table = base.tensors.get(embedding)!
        const of = (stored: Safetensors.TensorInfo) =>
          TiedHead.of({
            config,
            tensors: new Map([
              [shape.tensors.embedding, table],
              [name, stored],
            ]),
          })
        const copy = yield* of(table)
        assert.deepStrictEqual([copy.standing, copy.shape.tensors.head], ["copy", shape.tensors.embedding])
        const counts = yield* of(other.tensors.get(embedding)!)
        assert.deepStrictEqual([counts.standing, counts.shape.tensors.head], ["other", name])
        assert.isFalse(counts.shape.tiedEmbeddings)
        assert.isTrue(counts.shape.expected.has(name))
      }),
    )
  }
})
