/** What every way to merge has because all of them are calls of one function: card, notes, the disk, `accept`. */
import { assert, describe, it } from "@effect/vitest"
import { Stage } from "@hila/core"
import { adaptiveWeights, fuse, linear, Stages, taskArithmetic } from "@hila/merge"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { bytesOf, list, micro, scratch, table } from "./support.ts"
import { floats, refusal, type Tensors } from "./written.ts"

type Given = Parameters<typeof linear>[1]

/** The functions, each on the micro family with one expert replaced. */
const calls = Effect.gen(function* () {
  const base = yield* micro("base")
  const importance = yield* table(base)
  const weights = yield* adaptiveWeights({ importance: [importance] }, { temperature: 1 })
  return {
    linear: (other: Checkpoint.Checkpoint, to: string, given: Given) =>
      linear({ models: [base, other] }, given, to),
    taskArithmetic: (other: Checkpoint.Checkpoint, to: string, given: Given) =>
      taskArithmetic({ base, experts: [other] }, { lambda: 1, ...given }, to),
    fuse: (other: Checkpoint.Checkpoint, to: string, given: Given) =>
      fuse({ base, experts: [other], masks: [], weights }, { lambda: 1, ...given }, to),
  }
})

describe("linear, task arithmetic and fusion", () => {
  it.effect("have a card with their recipe and the digests of their inputs", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const expert = yield* micro("math")
      for (const [name, call] of Object.entries(yield* calls)) {
        yield* call(expert, join(directory, name), {})
        const card = yield* Effect.promise(() => readFile(join(directory, name, "README.md"), "utf8"))
        const file = yield* bytesOf(expert.files["model.safetensors"]!)
        const digest = createHash("sha256").update(file).digest("hex")
        assert.include(card, `| model.safetensors | \`${digest}\` |`, name)
        assert.include(card, "merge_method: ", name)
      }
    }),
  )

  it.effect("are refused before a weight is read where the disk is too small", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      for (const [name, call] of Object.entries(yield* calls)) {
        const given = { freeBytes: () => Promise.resolve(1000) }
        const { message } = yield* Effect.flip(call(yield* micro("math"), join(directory, name), given))
        assert.match(message, new RegExp(`^${name}: output: the disk of .* is too small`))
      }
      assert.deepStrictEqual(yield* list(directory), [])
    }),
  )

  it.effect("tell what differs and merge it all the same where that is accepted", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const expert = yield* micro("math")
      const config = { ...expert.config, num_attention_heads: 16, num_key_value_heads: 8, head_dim: 8 }
      for (const [name, call] of Object.entries(yield* calls)) {
        const other = { ...expert, config }
        const { message } = yield* Effect.flip(call(other, join(directory, name), {}))
        assert.match(message, new RegExp(`^${name}: .*query heads 16, expected 8`))
        yield* call(other, join(directory, name), { accept: ["architecture"] })
        const card = yield* Effect.promise(() => readFile(join(directory, name, "README.md"), "utf8"))
        assert.include(card, "query heads 16, expected 8", name)
      }
    }),
  )
})

describe("stages of merging", () => {
  // A card names the versions of Node and Hila and would make another content of the same weights.
  it.effect("keep the weights and the donor's files, and nothing that differs between machines", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const experts = [yield* micro("math"), yield* micro("code")]
      const importance = yield* table(base)
      const weights = yield* adaptiveWeights({ importance: [importance, importance] }, { temperature: 1 })
      const results = [
        yield* Stages.linear.run({ models: [base, ...experts] }, {}),
        yield* Stages.taskArithmetic.run({ base, experts }, { lambda: 0.5 }),
        yield* Stages.fuse.run({ base, experts, masks: [], weights }, { lambda: 0.5, residual: "mean" }),
      ]
      for (const { files } of results) {
        assert.sameMembers(Object.keys(files), Object.keys(base.files))
        for (const [name, path] of Object.entries(files)) {
          const same = (yield* bytesOf(path)).equals(yield* bytesOf(base.files[name]!))
          assert.strictEqual(same, name !== "model.safetensors", name)
        }
      }
    }).pipe(Effect.provide(Stage.layerDetached)),
  )
})

describe("a model of another depth", () => {
  it.effect("is told by its depth, not by a tensor that it lacks (a toy model in a recipe)", () =>
    Effect.gen(function* () {
      const deep = (layers: number): Tensors =>
        Object.fromEntries([
          ["model.embed_tokens.weight", floats(1, 8, 4)],
          ...Array.from({ length: layers }, (_, layer) => [
            `model.layers.${layer}.mlp.up_proj.weight`,
            floats(2 + layer, 6, 4),
          ]),
        ])
      const config = (layers: number) => ({ model_type: "llama", num_hidden_layers: layers })
      const told = "models are merged whole where they are equally deep; take layers of each with slices"
      assert.strictEqual(
        yield* refusal([config(5), deep(5)], [config(2), deep(2)]),
        `recipe.yml:4:5: b has 2 layers, a has 5: ${told}`,
      )
      assert.strictEqual(
        yield* refusal([config(2), deep(2)], [config(5), deep(5)]),
        `recipe.yml:4:5: b has 5 layers, a has 2: ${told}`,
      )
    }),
  )
})
