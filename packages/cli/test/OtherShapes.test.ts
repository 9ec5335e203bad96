import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cpSync, existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
// oxlint-disable-next-line no-restricted-imports -- a model that the model package is tested with; packages do not export it
import { biased } from "../../model/test/support/biased.ts"
import { workbench } from "./workbench.ts"

const plain = fileURLToPath(new URL("../../../fixtures/micro/base", import.meta.url))

const golden = ["87+45", "39+83"]
  .map((sum) => JSON.stringify({ prompt: `Q: ${sum}\nA:`, response: " 132\n" }))
  .join("\n")

const query = "model.layers.0.self_attn.q_proj"

// Commands that read two models side by side; golden, generate and eval open one, which has no pair that could differ.
describe("a base and an expert of which one has biases", () => {
  for (const [name, flipped] of [
    ["a base without and an expert with", false],
    ["a base with and an expert without", true],
  ] as const) {
    it.effect(`are refused with both tensors named: ${name}`, () =>
      Effect.gen(function* () {
        const { hila, path, write } = yield* workbench
        const { files } = yield* biased(path("."), "math")
        const other = files["config.json"]!.replace(/.config\.json$/, "")
        const [base, expert] = flipped ? [other, plain] : [plain, other]
        write("golden.jsonl", golden)
        const score = ["score", base, expert, "--golden", path("golden.jsonl"), "--store", path("store")]
        for (const method of ["revert", "magnitude", "ablate"]) {
          const outcome = yield* hila(...score, "--method", method)
          assert.strictEqual(outcome.code, 2, outcome.err)
          assert.match(outcome.err, /^hila: [^\n]+ is no fine-tune of [^\n]+\n$/)
          const [without, has] = [`${query}.weight without a bias`, `${query}.weight with ${query}.bias`]
          assert.include(
            outcome.err,
            `layers.0.query: expected ${flipped ? has : without}, got ${flipped ? without : has}`,
          )
        }
        write(
          "recipe.yml",
          `merge_method: task_arithmetic\nbase_model: ${base}\nmodels: [{ model: ${expert}, parameters: { weight: 0.5 } }]\ndtype: float32\n`,
        )
        const merged = yield* hila("merge", path("recipe.yml"), path("merged"))
        assert.strictEqual(merged.code, 2, merged.err)
        assert.match(merged.err, /(tensor|the tensor) model\.layers\.0\.self_attn\.[kq]_proj\.bias/)
        assert.isFalse(existsSync(path("merged")))
      }).pipe(Effect.scoped),
    )
  }
})

describe("models whose equal shapes mean other things", () => {
  it.effect("are merged with --accept architecture alone, which tells what differs", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      cpSync(plain, path("other"), { recursive: true })
      const config: object = JSON.parse(readFileSync(path("other/config.json"), "utf8"))
      const heads = { num_attention_heads: 16, num_key_value_heads: 8, head_dim: 8 }
      write("other/config.json", JSON.stringify({ ...config, ...heads }))
      write(
        "recipe.yml",
        `merge_method: linear\nmodels: [{ model: ${plain}, parameters: { weight: 1 } }, { model: other, parameters: { weight: 1 } }]\n`,
      )
      const refused = yield* hila("plan-merge", path("recipe.yml"))
      assert.strictEqual(refused.code, 2)
      assert.match(refused.err, /^hila: [^\n]*query heads 16, expected 8;[^\n]*--accept[^\n]*\n$/)
      const told = yield* hila("plan-merge", path("recipe.yml"), "--accept", "architecture")
      assert.strictEqual(told.code, 0, told.err)
      assert.match(told.out, /note: other has query heads 16, expected 8 as in /)
      const mistyped = yield* hila("plan-merge", path("recipe.yml"), "--accept", "heads")
      assert.strictEqual(mistyped.code, 2)
      assert.match(mistyped.err, /^hila: --accept heads: expected some of tokens, architecture/)
      const merged = yield* hila("merge", path("recipe.yml"), path("merged"), "--accept", "architecture")
      assert.strictEqual(merged.code, 0, merged.err)
      assert.isTrue(existsSync(path("merged/model.safetensors")))
    }).pipe(Effect.scoped),
  )
})
