// Configs that do not fit the tensors they come with: before a merge, after it, and over many architectures.
import { assert, describe, it } from "@effect/vitest"
import { Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdirSync } from "node:fs"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Check from "../src/output/Check.ts"
import * as Sections from "../src/stacks/Sections.ts"
import { decoder, merged, pair, planned } from "./stacked.ts"
import { hasShared, list, micro, sharedPath } from "./support.ts"

const full = "full_attention"
const passthrough = "merge_method: passthrough\n"

type Config = Readonly<Record<string, unknown>>

describe("a result whose config does not fit its tensors", () => {
  it.effect("is refused before anything is read where the model that it is like does not fit its own", () =>
    Effect.gen(function* () {
      const { directory } = yield* pair(decoder({ model_type: "x", layer_types: [full, full, full] }, 4))
      const { message } = yield* Effect.flip(planned(directory, `${passthrough}models: [{model: a}]\n`))
      assert.include(
        message,
        "config.json of a does not fit its weights, nor would the result's: layer_types has 3 entries, for 4 layers",
      )
    }),
  )

  it.effect("fails after it was written, before it has its name, with the key that is wrong", () =>
    Effect.gen(function* () {
      const { a, directory } = yield* pair(
        decoder({ model_type: "x", layer_types: [full, full, full, full] }, 4),
      )
      const { tensors } = yield* planned(directory, `${passthrough}models: [{model: a}]\n`)
      yield* Check.check(join(directory, "a"), tensors, a)
      const problem = (change: Config) =>
        Effect.gen(function* () {
          const config = join(directory, "a", "config.json")
          yield* Effect.promise(() => writeFile(config, JSON.stringify({ ...a.config, ...change })))
          const error = yield* Effect.flip(Check.check(join(directory, "a"), tensors, a))
          assert.instanceOf(error, CheckpointError)
          return error.message
        })
      assert.include(
        yield* problem({ layer_types: [full, full, full] }),
        "layer_types has 3 entries, for 4 layers",
      )
      assert.include(
        yield* problem({ num_hidden_layers: 6 }),
        "num_hidden_layers says 6 layers, the weights have 4",
      )
      assert.include(
        yield* problem({ num_hidden_layers: 3, layer_types: null }),
        "it counts 3 layers of model.layers, the weights have 4",
      )
      assert.include(yield* problem({ num_hidden_layers: null, layer_types: null }), "it counts no layers")
    }),
  )

  it.effect("fails where the model type is known and its config no longer resolves", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const { directory } = yield* pair(decoder({ model_type: "x" }, 1))
      const text = `${passthrough}models: [{model: ${base.files["config.json"]?.replace(/config\.json$/, "")}}]\n`
      const { tensors } = yield* planned(directory, text)
      const result = yield* merged(directory, text)
      yield* Check.check(join(directory, "out"), tensors, base)
      const path = result.files["config.json"] ?? ""
      const config = JSON.parse(yield* Effect.promise(() => readFile(path, "utf8")))
      yield* Effect.promise(() => writeFile(path, JSON.stringify({ ...config, num_attention_heads: "many" })))
      const error = yield* Effect.flip(Check.check(join(directory, "out"), tensors, base))
      assert.include(error.message, "num_attention_heads")
      assert.include(yield* list(directory), "out")
    }),
  )
})

describe("a classifier of a decoder's type", () => {
  it.effect("is merged by its names: it has no head of words that its record expects", () =>
    Effect.gen(function* () {
      const one = {
        "input_layernorm.weight": [4],
        "post_attention_layernorm.weight": [4],
        ...Object.fromEntries(["q", "k", "v", "o"].map((part) => [`self_attn.${part}_proj.weight`, [4, 4]])),
        ...Object.fromEntries(["gate", "up"].map((part) => [`mlp.${part}_proj.weight`, [8, 4]])),
        "mlp.down_proj.weight": [4, 8],
      }
      const shapes = {
        "model.embed_tokens.weight": [6, 4],
        ...Object.fromEntries(Object.entries(one).map(([name, shape]) => [`model.layers.0.${name}`, shape])),
        "model.norm.weight": [4],
        "score.weight": [3, 4],
      }
      const config = {
        architectures: ["LlamaForSequenceClassification"],
        model_type: "llama",
        hidden_size: 4,
        intermediate_size: 8,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        num_hidden_layers: 1,
        vocab_size: 6,
        tie_word_embeddings: false,
      }
      const { a, directory } = yield* pair({ config, names: Object.keys(shapes), shapes })
      const result = yield* merged(
        directory,
        "merge_method: linear\nmodels: [{model: a}, {model: b}]\nparameters: {weight: 1}\n",
      )
      assert.deepStrictEqual([...result.tensors.keys()].toSorted(), [...a.tensors.keys()].toSorted())
      // With its head it is a whole decoder, whose result has to be one.
      const whole = { ...shapes, "lm_head.weight": [6, 4] }
      const other = yield* pair({ config, names: Object.keys(whole), shapes: whole })
      const { tensors } = yield* planned(other.directory, `${passthrough}models: [{model: a}]\n`)
      yield* Check.check(join(other.directory, "a"), tensors, other.a)
      const refused = Check.check(
        join(directory, "a"),
        (yield* planned(directory, `${passthrough}models: [{model: a}]\n`)).tensors,
        other.a,
      )
      assert.include((yield* Effect.flip(refused)).message, 'tensor "lm_head.weight": is missing')
    }),
  )
})

describe.skipIf(!hasShared)("models of many architectures (needs ../shared)", () => {
  const kinds = ["layer_types", "mlp_layer_types", "no_rope_layers"]
  const names = hasShared ? readdirSync(sharedPath("oracles/architectures-2026")) : []
  for (const name of names) {
    it.effect(
      `${name}: its first and last layers swap with all that its config says of them, or are refused`,
      () =>
        Effect.gen(function* () {
          const directory = sharedPath(`oracles/architectures-2026/${name}`)
          const { config } = yield* Checkpoint.open(directory)
          const place = Sections.section(config, ["text_config"]) === undefined ? [] : ["text_config"]
          const section = Sections.section(config, place) ?? {}
          const depth = Number(section["num_hidden_layers"])
          const model = `model: ${JSON.stringify(directory)}`
          const ranges = [
            [depth - 1, depth],
            [1, depth - 1],
            [0, 1],
          ].map((range) => `- sources: [{${model}, layer_range: [${range.join(", ")}]}]\n`)
          const result = yield* Effect.result(planned(directory, `${passthrough}slices:\n${ranges.join("")}`))
          if (result._tag === "Failure") {
            assert.match(result.failure.message, /cannot say what these layers are|cannot be taken apart/)
            return
          }
          const edits = new Map(
            result.success.restacked.edits.map(({ path, value }) => [path.join("."), value]),
          )
          for (const key of kinds) {
            const given = section[key]
            if (!Array.isArray(given)) continue
            const list: ReadonlyArray<unknown> = given
            const swapped = [list[depth - 1], ...list.slice(1, depth - 1), list[0]]
            assert.deepStrictEqual(edits.get([...place, key].join(".")) ?? list, swapped)
          }
          assert.strictEqual(result.success.tensors.length, result.success.like.checkpoint.tensors.size)
        }),
    )
  }
})
