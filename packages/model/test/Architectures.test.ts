import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { CausalModel, Checkpoint, EncoderModel, Runtime, Safetensors } from "../src/index.ts"
import { architectures, encoders, sharedArchitectures } from "./support/fixtures.ts"
import { distance, example, readJson } from "./support/models.ts"
import { oldConfig } from "./support/oldConfig.ts"

interface Expected {
  readonly mean_nll?: number
  readonly greedy: { readonly prompt: ReadonlyArray<number>; readonly tokens: ReadonlyArray<number> }
}

/** max |ours − theirs| / max |theirs| */
const relative = (ours: ArrayLike<number>, theirs: Float32Array) =>
  distance(ours, theirs) / theirs.reduce((max, value) => Math.max(max, Math.abs(value)), 0)

const reference = Effect.fnUntraced(function* (directory: string) {
  const { tensors } = yield* Safetensors.open(`${directory}/expected.safetensors`)
  const read = Effect.fnUntraced(function* (tensor: string) {
    const info = tensors.get(tensor)
    assert.isDefined(info)
    return (yield* Safetensors.read(info)).slice().buffer
  })
  const integers = (tensor: string) =>
    Effect.map(read(tensor), (bytes) => Array.from(new BigInt64Array(bytes), Number))
  const ids = yield* integers("input_ids")
  const mask = yield* integers("attention_mask")
  const hidden = new Float32Array(yield* read("last_hidden_state"))
  const width = hidden.length / ids.length
  const length = ids.length / 2
  return {
    rows: [0, 1].map((row) => ids.filter((_, i) => Math.trunc(i / length) === row && mask[i] === 1)),
    /** At unmasked positions. */
    hidden: hidden.filter((_, i) => mask[Math.trunc(i / width)] === 1),
    logits: new Float32Array(yield* read("logits")),
    expected: yield* readJson<Expected>(`${directory}/expected.json`),
  }
})

/** With the larger ones beside the project, where they are. */
const references = [
  ...architectures,
  ...sharedArchitectures.map(([name, path]) => [`${name} of ../shared`, path] as const),
]
const isEncoder = (name: string) => encoders.has(name.replace(/ of .*/, ""))

const generations = [
  ["rope_parameters and dtype", (checkpoint: Checkpoint.Checkpoint) => checkpoint],
  [
    "rope_theta, rope_scaling and torch_dtype",
    (checkpoint: Checkpoint.Checkpoint) => ({ ...checkpoint, config: oldConfig(checkpoint.config) }),
  ],
] as const

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Architectures", (it) => {
  describe("decoders", () => {
    for (const [name, directory] of references.filter(([key]) => !isEncoder(key))) {
      for (const [keys, rewrite] of generations) {
        it.effect(`${name}, with ${keys}: PyTorch's logits, hidden states, losses and greedy tokens`, () =>
          Effect.gen(function* () {
            const { expected, hidden, logits, rows } = yield* reference(directory)
            const model = yield* CausalModel.open(rewrite(yield* Checkpoint.open(directory)))
            const ours = (yield* model.logits(rows)).flatMap((row) => Array.from(row))
            assert.isAtMost(relative(ours, logits), 2e-5, "logits")
            const states = (yield* model.hidden(rows)).flatMap((row) => Array.from(row))
            assert.isAtMost(relative(states, hidden), 2e-5, "last hidden state")
            const losses = yield* model.losses(rows.map((tokens) => example(tokens, 1)))
            const mean = losses.reduce((sum, loss) => sum + loss, 0) / rows.length
            assert.isAtMost(Math.abs(mean - (expected.mean_nll ?? NaN)), 1e-5, "mean loss")
            const { prompt, tokens } = expected.greedy
            const [continued] = yield* model.continue([prompt], { maxTokens: tokens.length })
            assert.deepStrictEqual(continued?.tokens, tokens)
          }),
        )
      }
    }
  })
  describe("features no reference has", () => {
    const directory = new Map(architectures).get("smollm3") ?? ""
    const logitsWith = Effect.fnUntraced(function* (extra: object) {
      const checkpoint = yield* Checkpoint.open(directory)
      const model = yield* CausalModel.open({ ...checkpoint, config: { ...checkpoint.config, ...extra } })
      return (yield* model.logits([[5, 9, 2, 6, 5, 3]])).flatMap((row) => Array.from(row))
    })

    it.effect("a layer without rope is one whose angles are all zero", () =>
      Effect.gen(function* () {
        const without = yield* logitsWith({ no_rope_layers: [0, 0] })
        const still = { rope_type: "linear", rope_theta: 2e6, factor: 1e30 }
        const turned = yield* logitsWith({ rope_parameters: still })
        assert.isAtMost(relative(turned, Float32Array.from(without)), 1e-6)
        assert.isAbove(
          relative(yield* logitsWith({ no_rope_layers: [1, 1] }), Float32Array.from(without)),
          1e-3,
        )
      }),
    )

    it.effect("a window as long as the text changes nothing, a shorter one does", () =>
      Effect.gen(function* () {
        const plain = Float32Array.from(yield* logitsWith({}))
        const local = {
          use_sliding_window: true,
          layer_types: ["sliding_attention", "full_attention"],
        }
        assert.isAtMost(relative(yield* logitsWith({ ...local, sliding_window: 6 }), plain), 1e-6)
        assert.isAbove(relative(yield* logitsWith({ ...local, sliding_window: 3 }), plain), 1e-3)
      }),
    )
  })

  describe("pooling", () => {
    it.effect("takes the mean over a sequence's own tokens, whatever it is batched with", () =>
      Effect.gen(function* () {
        const checkpoint = yield* Checkpoint.open(new Map(architectures).get("modernbert") ?? "")
        const openWith = (pooling: string) =>
          EncoderModel.open({
            ...checkpoint,
            config: { ...checkpoint.config, classifier_pooling: pooling },
          })
        const [first, mean] = [yield* openWith("cls"), yield* openWith("mean")]
        const [short, long] = [
          [1, 30, 2],
          [1, ...Array.from({ length: 20 }, (_, i) => i + 9), 2],
        ]
        const [ofShort = [], ofLong = []] = yield* mean.logits([short, long])
        const [alone = []] = yield* mean.logits([short])
        assert.isAtMost(distance(ofShort, alone), 1e-6)
        assert.isAbove(distance(ofShort, ofLong), 1e-3)
        const [one = [], two = []] = [...(yield* first.logits([[7]])), ...(yield* mean.logits([[7]]))]
        assert.isAtMost(distance(one, two), 1e-6)
      }),
    )
  })

  describe("encoders", () => {
    for (const [name, directory] of references.filter(([key]) => isEncoder(key))) {
      for (const [keys, rewrite] of generations) {
        it.effect(
          `${name}, with ${keys}: PyTorch's class logits, and hidden states where there is a token`,
          () =>
            Effect.gen(function* () {
              const { hidden, logits, rows } = yield* reference(directory)
              const model = yield* EncoderModel.open(rewrite(yield* Checkpoint.open(directory)))
              const ours = (yield* model.logits(rows)).flatMap((row) => Array.from(row))
              assert.isAtMost(relative(ours, logits), 2e-5, "logits")
              const states = (yield* model.hidden(rows)).flatMap((row) => Array.from(row))
              assert.isAtMost(relative(states, hidden), 2e-5, "last hidden state")
            }),
        )
      }
    }
  })
})
