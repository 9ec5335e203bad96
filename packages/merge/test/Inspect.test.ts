// Sound models of every kind have nothing odd (cases merging/17-inspect-gpt2-vocabulary, evaluation/inspect-gpt2).
import { assert, describe, it } from "@effect/vitest"
import { Architecture, Checkpoint } from "@hila/model"
import { Inspect } from "@hila/merge/Tools"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { scratch } from "./support.ts"
import * as Tiny from "./tiny.ts"

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const strict = { values: true }

const sizes = { vocab_size: 48, hidden_size: 8, intermediate_size: 12, num_hidden_layers: 2 }
const heads = { num_attention_heads: 2, num_key_value_heads: 1, head_dim: 4 }
const classifies = (model_type: string, type: string) => ({
  model_type,
  architectures: [`${type}ForSequenceClassification`],
  ...sizes,
  num_attention_heads: 2,
  max_position_embeddings: 34,
})
const gpt2 = { model_type: "gpt2", vocab_size: 48, n_embd: 8, n_layer: 2, n_head: 2, n_positions: 32 }

const bert = {
  vocab_size: 48,
  dim: 8,
  hidden_dim: 12,
  n_layers: 2,
  n_heads: 2,
  max_position_embeddings: 32,
}
const models: ReadonlyArray<readonly [type: string, config: Readonly<Record<string, unknown>>]> = [
  ["GPT-2", gpt2],
  ["BERT", classifies("bert", "Bert")],
  ["RoBERTa", classifies("roberta", "Roberta")],
  ["XLM-RoBERTa", classifies("xlm-roberta", "XLMRoberta")],
  ["ModernBERT", classifies("modernbert", "ModernBert")],
  [
    "DistilBERT",
    { model_type: "distilbert", architectures: ["DistilBertForSequenceClassification"], ...bert },
  ],
  ["Gemma", { model_type: "gemma", ...sizes, ...heads }],
  ["Cohere", { model_type: "cohere", ...sizes, ...heads }],
  ["SmolLM3", { model_type: "smollm3", ...sizes, ...heads }],
  ["GPT-NeoX", { model_type: "gpt_neox", ...sizes, num_attention_heads: 2, rotary_pct: 0.5 }],
]

/** Numbers in matrices, zeros in biases and ones in norms, as models begin; or zeros in norms that add 1. */
const begun = (shape: ReadonlyArray<number>, vector = 0): Tiny.Values =>
  shape.length === 1
    ? Array.from({ length: shape[0] ?? 0 }, () => vector)
    : Array.from({ length: shape[0] ?? 0 }, (_, i) =>
        Array.from({ length: shape[1] ?? 0 }, (__, j) => i + j + 1),
      )

const tensorsOf = (config: Record<string, unknown> & { readonly model_type: string }) =>
  Effect.map(
    Architecture.kindOf(config.model_type) === "encoder"
      ? Effect.map(Architecture.resolveEncoder(config), ({ expected }) => expected)
      : Effect.map(Architecture.resolve(config), ({ expected }) => expected),
    (expected) =>
      Object.fromEntries(
        [...expected].map(([name, shape]) => [
          name,
          begun(shape, name.endsWith("bias") || config.model_type === "gemma" ? 0 : 1),
        ]),
      ),
  )

const made = Effect.fnUntraced(function* (
  config: Record<string, unknown>,
  tensors: Readonly<Record<string, Tiny.Values>>,
) {
  const directory = join(yield* scratch, "model")
  yield* Tiny.write(directory, { config, tensors })
  return yield* Inspect.inspect(yield* Checkpoint.open(directory), strict)
})

const checkpointsIn = (folder: string): ReadonlyArray<readonly [name: string, directory: string]> =>
  existsSync(at(folder))
    ? readdirSync(at(folder)).flatMap((name) => {
        const directory = join(at(folder), name)
        return existsSync(join(directory, "config.json")) && existsSync(join(directory, "model.safetensors"))
          ? [[name, directory] as const]
          : []
      })
    : []

const nothingOdd = (name: string, directory: string) =>
  it.effect(`${name} has nothing odd`, () =>
    Effect.gen(function* () {
      const { oddities } = yield* Inspect.inspect(yield* Checkpoint.open(directory), strict)
      assert.deepStrictEqual(oddities, [])
    }),
  )

describe("inspect --strict", () => {
  for (const [name, directory] of [
    ...checkpointsIn("../../../fixtures/micro"),
    ...checkpointsIn("./fixtures/peft/bases"),
  ])
    nothingOdd(name, directory)

  for (const [type, config] of models) {
    it.effect(`a new ${type} has its vocabulary of tokens, and nothing odd`, () =>
      Effect.gen(function* () {
        const found = yield* made(config, yield* tensorsOf({ model_type: "", ...config }))
        assert.deepStrictEqual(found.oddities, [])
        assert.deepStrictEqual(
          [found.vocabulary, found.layers, found.heads, found.runs],
          [48, 2, 2, undefined],
        )
      }),
    )
  }

  it.effect("an OPT, whose type has no record, is merged by names, and nothing is odd", () =>
    Effect.gen(function* () {
      const config = { model_type: "opt", vocab_size: 48, num_hidden_layers: 1, max_position_embeddings: 32 }
      const found = yield* made(config, {
        "model.decoder.embed_tokens.weight": begun([48, 8]),
        "model.decoder.embed_positions.weight": begun([34, 8]),
        "model.decoder.layers.0.fc1.weight": begun([12, 8]),
        "model.decoder.layers.0.fc1.bias": begun([12]),
      })
      assert.deepStrictEqual([found.oddities, found.vocabulary], [[], 48])
      assert.strictEqual(found.runs, "unknown model type, which is merged by the names of its tensors")
      assert.match(Inspect.render(found), /runs +no: unknown model type/)
    }),
  )

  const unrun: ReadonlyArray<readonly [string, Record<string, unknown>, RegExp]> = [
    [
      "a rope without a formula",
      { rope_scaling: { type: "dynamic", factor: 2 } },
      /^rope type 'dynamic' is not supported/,
    ],
    [
      "a head that classifies",
      { architectures: ["LlamaForSequenceClassification"] },
      /^is a LlamaForSequenceClassification/,
    ],
    ["a mixture of experts", { num_local_experts: 4 }, /^num_local_experts 4 asks for a mixture of experts/],
  ]
  for (const [what, extra, reason] of unrun) {
    it.effect(`${what} cannot be run here, and is not odd`, () =>
      Effect.gen(function* () {
        const llama = { model_type: "llama", ...sizes, ...heads }
        const found = yield* made({ ...llama, ...extra }, yield* tensorsOf(llama))
        assert.deepStrictEqual(found.oddities, [])
        assert.match(found.runs ?? "", reason)
        assert.notInclude(Inspect.render(found), "packages/")
      }),
    )
  }

  it.effect("what does not fit the config of a known type is odd", () =>
    Effect.gen(function* () {
      const llama = { model_type: "llama", ...sizes, ...heads }
      const tensors = yield* tensorsOf(llama)
      const shapes = yield* made({ ...llama, intermediate_size: 13 }, tensors)
      assert.match(shapes.oddities.join("\n"), /mlp\.gate_proj\.weight.*wrong shape/)
      const kinds = yield* made({ ...llama, num_key_value_heads: 3 }, tensors)
      assert.match(kinds.oddities.join("\n"), /num_attention_heads 2 is no multiple of num_key_value_heads 3/)
    }),
  )

  it.effect(
    "a stored head that differs from the embedding it is tied to is told, an equal one is not odd",
    () =>
      Effect.gen(function* () {
        for (const config of [
          { model_type: "llama", ...sizes, ...heads, tie_word_embeddings: true },
          { model_type: "gemma", ...sizes, ...heads },
          gpt2,
        ]) {
          const tensors = yield* tensorsOf(config)
          const copy = yield* made(config, { ...tensors, "lm_head.weight": begun([48, 8]) })
          assert.deepStrictEqual([copy.oddities, copy.tied], [[], true])
          const other = Array.from({ length: 48 }, (_, i) => Array.from({ length: 8 }, (__, j) => i - j))
          const untied = yield* made(config, { ...tensors, "lm_head.weight": other })
          assert.match(
            untied.oddities.join("\n"),
            /^lm_head\.weight differs from the embedding that the config ties it to: the stored head is used/,
          )
          assert.isFalse(untied.tied)
        }
      }),
  )

  const folders = [
    "oracles/architectures",
    "oracles/architectures-2026",
    "models",
    "models/micro",
    "models/realtext",
  ].map((folder) => `../../../../shared/${folder}`)
  describe.skipIf(!existsSync(at("../../../../shared/oracles")))(
    "reference checkpoints (needs ../shared)",
    () => {
      for (const folder of folders)
        for (const [name, directory] of checkpointsIn(folder))
          nothingOdd(`${folder.slice(16)}/${name}`, directory)
    },
  )
})
