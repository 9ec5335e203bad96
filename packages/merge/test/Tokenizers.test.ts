import { assert, describe, it } from "@effect/vitest"
import { mergeRecipe } from "@hila/merge/Recipe"
import { Inspect } from "@hila/merge/Tools"
import { Checkpoint, Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { altered, bytesOf, micro, scratch } from "./support.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))
const embedding = "model.embed_tokens.weight"

/** A copy of a model with two more tokens: `<tool>` at 320 and `<call>` at 321, with rows of 7 and 8. */
const grown = Effect.fnUntraced(function* (directory: string) {
  const code = yield* micro("code")
  const made = yield* altered(code, directory, ({ dtype, name, shape }, values) => {
    if (name !== embedding) return { dtype, name, shape, values }
    const [rows = 0, width = 0] = shape
    const more = new Float32Array((rows + 2) * width).fill(7, rows * width).fill(8, (rows + 1) * width)
    more.set(values)
    return { dtype, name, shape: [rows + 2, width], values: more }
  })
  const edit = (name: string, change: (text: string) => string) =>
    Effect.promise(async () => {
      const path = made.files[name]!
      const text = await readFile(path, "utf8")
      await writeFile(path, change(text))
    })
  yield* edit("config.json", (text) => JSON.stringify({ ...JSON.parse(text), vocab_size: 322 }))
  yield* edit("tokenizer.json", (text) => {
    const contents = JSON.parse(text)
    const token = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }
    contents.added_tokens.push(
      { ...token, id: 320, content: "<tool>" },
      { ...token, id: 321, content: "<call>" },
    )
    return JSON.stringify(contents)
  })
})

const merge = Effect.fnUntraced(function* (rule: string) {
  const directory = yield* scratch
  yield* grown(join(directory, "grown"))
  const recipe = join(directory, "recipe.yml")
  const text = `merge_method: linear\nbase_model: ${family}base\nmodels:\n- {model: ${family}base, parameters: {weight: 1}}\n- {model: grown, parameters: {weight: 1}}\n${rule}`
  yield* Effect.promise(() => writeFile(recipe, text))
  const merged = yield* mergeRecipe(recipe, join(directory, "merged"), { digests: false })
  assert.deepStrictEqual((yield* Inspect.inspect(merged, { values: true })).oddities, [])
  const values = yield* Checkpoint.readFloat32(merged, embedding)
  const [rows = 0, width = 0] = merged.tensors.get(embedding)!.shape
  return { directory, merged, rows, row: (id: number) => [...values.subarray(id * width, (id + 1) * width)] }
})

const constant = (row: ReadonlyArray<number>) => (new Set(row).size === 1 ? row[0] : undefined)

describe("tokenizer rules", () => {
  it.effect("base keeps the base's vocabulary and its tokenizer byte for byte", () =>
    Effect.gen(function* () {
      const { merged, rows } = yield* merge("tokenizer_source: base\n")
      assert.strictEqual(rows, 320)
      const base = yield* micro("base")
      for (const name of ["tokenizer.json", "tokenizer_config.json"])
        assert.deepStrictEqual(yield* bytesOf(merged.files[name]!), yield* bytesOf(base.files[name]!))
    }),
  )

  it.effect("union adds the tokens of the other; a token of one model has that model's row", () =>
    Effect.gen(function* () {
      const { merged, row, rows } = yield* merge("tokenizer_source: union\n")
      assert.strictEqual(rows, 322)
      assert.strictEqual(merged.config["vocab_size"], 322)
      assert.strictEqual(constant(row(320)), 7)
      assert.strictEqual(constant(row(321)), 8)
      const tokenizer = yield* Tokenizer.open(merged)
      assert.include(yield* tokenizer.encode("<call>"), 321)
    }),
  )

  it.effect("a model's own vocabulary may be taken, with padding and rules for tokens", () =>
    Effect.gen(function* () {
      const rule =
        "tokenizer:\n  source: grown\n  pad_to_multiple_of: 16\n  tokens:\n    <tool>: {source: {kind: zero}, force: true}\n    <call>: {source: {kind: model_token, model: grown, token: <tool>}, force: true}\n"
      const { directory, merged, row, rows } = yield* merge(rule)
      assert.strictEqual(rows, 336)
      assert.strictEqual(constant(row(320)), 0)
      assert.strictEqual(constant(row(321)), 7)
      assert.deepStrictEqual(row(330), row(335))
      assert.deepStrictEqual(
        yield* bytesOf(merged.files["tokenizer.json"]!),
        yield* bytesOf(join(directory, "grown", "tokenizer.json")),
      )
    }),
  )

  it.effect("a token that no model has is added, and a source that is no model is refused", () =>
    Effect.gen(function* () {
      const { merged, row, rows } = yield* merge(
        "tokenizer:\n  source: base\n  tokens:\n    <new>: {source: {kind: zero}}\n",
      )
      assert.strictEqual(rows, 321)
      assert.strictEqual(constant(row(320)), 0)
      assert.include(yield* (yield* Tokenizer.open(merged)).encode("<new>"), 320)
      const error = yield* Effect.flip(merge("tokenizer_source: nobody\n"))
      assert.match(
        error.message,
        /recipe\.yml:6:19: tokenizer source nobody is no model of the merge: union, base, or one of .*base, grown$/,
      )
    }),
  )

  it.effect("a row that a model does not have is refused before a weight is read", () =>
    Effect.gen(function* () {
      const rule = (id: number) =>
        `tokenizer:\n  source: base\n  tokens:\n    <s>: {source: {kind: model_token, model: grown, token_id: ${id}}, force: true}\n`
      assert.strictEqual(constant((yield* merge(rule(321))).row(1)), 8)
      const { message } = yield* Effect.flip(merge(rule(322)))
      assert.match(
        message,
        /recipe\.yml:9:10: token "<s>": grown has 322 embedding rows, none for the id 322: give the token another source under tokenizer\.tokens, with force: true$/,
      )
    }),
  )

  it.effect("a chat template goes into the tokenizer's files", () =>
    Effect.gen(function* () {
      const { merged } = yield* merge("tokenizer_source: base\nchat_template: chatml\n")
      const config = JSON.parse(String(yield* bytesOf(merged.files["tokenizer_config.json"]!)))
      assert.include(config.chat_template, "<|im_start|>")
      assert.strictEqual(String(yield* bytesOf(merged.files["chat_template.jinja"]!)), config.chat_template)
      const { message } = yield* Effect.flip(merge('tokenizer_source: base\nchat_template: "{% if %}"\n'))
      assert.match(message, /recipe\.yml:7:16: unusable chat template: /)
    }),
  )
})
