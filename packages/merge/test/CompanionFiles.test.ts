/** Files that go with weights: what a merge changes of them, what it carries, and what it leaves. */
import { assert, describe, it } from "@effect/vitest"
import { entry } from "@hila/core/Lookup"
import { mergeRecipe } from "@hila/merge/Recipe"
import { Checkpoint, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync } from "node:fs"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { hasShared, micro, scratch, sharedPath } from "./support.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))

/** Merges a model with itself by a recipe whose other keys are `rest`. */
const mergedWithItself = Effect.fnUntraced(function* (model: string, rest: string) {
  const directory = yield* scratch
  const recipe = join(directory, "recipe.yml")
  const sources = `- {model: "${model}", parameters: {weight: 0.5}}\n`
  yield* write(recipe, `merge_method: linear\nmodels:\n${sources}${sources}${rest}`)
  yield* mergeRecipe(recipe, join(directory, "merged"), { digests: false })
  return join(directory, "merged")
})

const read = (path: string) => Effect.promise(() => readFile(path, "utf8"))
const write = (path: string, text: string) =>
  Effect.promise(async () => {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  })

/** The base of the micro family with other files besides its own, by name. */
const modelWith = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>) {
  const directory = yield* scratch
  for (const [name, text] of Object.entries(files)) yield* write(join(directory, "files", name), text)
  const own = Object.fromEntries(
    Object.keys(files).map((name) => [name, join(directory, "files", name)] as const),
  )
  const base = yield* micro("base")
  const path = join(directory, "model")
  yield* Checkpoint.write(path, {
    like: { files: { ...base.files, ...own } },
    tensors: [...base.tensors.values()].map(({ dtype, name, shape }) => ({ name, dtype, shape })),
    data: ({ name }, put) => Effect.flatMap(Safetensors.read(entry(base.tensors, name)), put),
  })
  return path
})

/** A config of the micro family with what `JSON.stringify` does not write again as it was. */
const pythonConfig = Effect.map(read(`${family}base/config.json`), (text) =>
  text.replace(
    /^\{\n/,
    [
      "{",
      '    "final_logit_softcapping": 30.0,',
      '  "time_step_limit": [0.0, Infinity], "worst": -Infinity,',
      '  "nothing": NaN,',
      '  "rope_scaling" : {"factor": 4.0, "rope_type": "linear"},',
      '  "10": 9007199254740993, "2": 1e-05,',
      '  "name": "caf\\u00e9", "twice": 1.0, "twice": 2.0,',
      "",
    ].join("\n"),
  ),
)

describe("config.json keeps every byte that a merge does not change (01, 01b, 15)", () => {
  it.effect("floats, infinities, large integers, escapes, order, layout and repeated keys", () =>
    Effect.gen(function* () {
      const config = yield* pythonConfig
      const model = yield* modelWith({ "config.json": config })
      const merged = yield* mergedWithItself(model, "dtype: float16\n")
      assert.strictEqual(
        yield* read(join(merged, "config.json")),
        config.replace('"dtype": "bfloat16"', '"dtype": "float16"'),
      )
      const same = yield* mergedWithItself(model, "")
      assert.strictEqual(yield* read(join(same, "config.json")), config)
    }),
  )
})

/** A tokenizer_config.json with several templates, as older writers have them, and a float that stays one. */
const withTemplates = (templates: Readonly<Record<string, string>>) =>
  `{"add_bos_token": true, "chat_template": ${JSON.stringify(
    Object.entries(templates).map(([name, template]) => ({ name, template })),
  )}, "temperature": 1.0}\n`

describe("the chat template of a result (24-chat-template-auto-list)", () => {
  it.effect("is with auto the one named default of a list, whose file stays as it is", () =>
    Effect.gen(function* () {
      const config = withTemplates({ tool_use: "{{ tools }}", default: "{{ messages }}" })
      const model = yield* modelWith({ "tokenizer_config.json": config })
      const merged = yield* mergedWithItself(model, "chat_template: auto\n")
      assert.strictEqual(yield* read(join(merged, "tokenizer_config.json")), config)
      assert.isFalse(existsSync(join(merged, "chat_template.jinja")))
    }),
  )

  it.effect("takes the place of all that the donor had, and of nothing else in its files", () =>
    Effect.gen(function* () {
      const config = withTemplates({ default: "old", tool_use: "other" })
      const model = yield* modelWith({
        "tokenizer_config.json": config,
        "additional_chat_templates/tool_use.jinja": "other",
        "chat_template.json": '{"chat_template": "old"}',
      })
      const merged = yield* mergedWithItself(model, 'chat_template: "{{ new }}"\n')
      assert.strictEqual(yield* read(join(merged, "chat_template.jinja")), "{{ new }}")
      assert.strictEqual(
        yield* read(join(merged, "tokenizer_config.json")),
        config.replace(/\[.*\]/, '"{{ new }}"'),
      )
      assert.strictEqual(yield* read(join(merged, "chat_template.json")), '{"chat_template": "{{ new }}"}')
      assert.isFalse(existsSync(join(merged, "additional_chat_templates")))
    }),
  )

  it.effect("is with auto the one in a file of its own before one in a list", () =>
    Effect.gen(function* () {
      const own = yield* modelWith({ "additional_chat_templates/default.jinja": "{{ a }}" })
      const processor = yield* modelWith({ "chat_template.json": '{"chat_template": "{{ b }}"}' })
      for (const model of [own, processor]) {
        const merged = yield* mergedWithItself(model, "chat_template: auto\n")
        assert.isFalse(existsSync(join(merged, "chat_template.jinja")))
      }
    }),
  )

  it.effect("is refused where the file that would hold it cannot be read", () =>
    Effect.gen(function* () {
      const model = yield* modelWith({ "tokenizer_config.json": '{"a": 1.0,}' })
      const error = yield* Effect.flip(mergedWithItself(model, "chat_template: chatml\n"))
      assert.include(error.message, "tokenizer_config.json: it is no JSON (line 1, column 11: expected a key")
    }),
  )
})

const root = sharedPath("oracles")
const architectures = !hasShared
  ? []
  : ["architectures", "architectures-2026"].flatMap((generation) =>
      readdirSync(join(root, generation))
        .filter((name) => existsSync(join(root, generation, name, "config.json")))
        .map((name) => join(generation, name)),
    )

describe.skipIf(!hasShared)("config.json of every architecture (needs ../shared)", () => {
  it.effect.each(architectures)("is that of %s but for the dtype", (name) =>
    Effect.gen(function* () {
      const model = join(root, name)
      const before = yield* read(join(model, "config.json"))
      const merged = yield* mergedWithItself(model, "dtype: float16\n")
      const after = yield* read(join(merged, "config.json"))
      assert.notStrictEqual(after, before)
      const [old, now] = [before.split("\n"), after.split("\n")]
      const changed = now.filter((line, index) => line !== old[index])
      assert.strictEqual(now.length, old.length)
      for (const line of changed) assert.match(line, /^ +"(?:torch_)?dtype": "float16",?$/)
    }),
  )
})
