/** Files that go with weights: what a merge changes of them, what it carries, and what it leaves. */
import { assert, describe, it } from "@effect/vitest"
import { mergeRecipe } from "@hila/merge/Recipe"
import * as Effect from "effect/Effect"
import { existsSync, readdirSync } from "node:fs"
import { cp, mkdir, readFile, symlink, truncate, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parse } from "yaml"
import { hasShared, micro, scratch, sharedPath } from "./support.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))

/** Merges a model with itself by a recipe whose other keys are `rest`. */
const mergedWithItself = Effect.fnUntraced(function* (
  model: string,
  rest: string,
  options: Parameters<typeof mergeRecipe>[2] = {},
) {
  const directory = yield* scratch
  const recipe = join(directory, "recipe.yml")
  const sources = `- {model: "${model}", parameters: {weight: 0.5}}\n`
  yield* write(recipe, `merge_method: linear\nmodels:\n${sources}${sources}${rest}`)
  yield* mergeRecipe(recipe, join(directory, "merged"), { digests: false, ...options })
  return join(directory, "merged")
})

const read = (path: string) => Effect.promise(() => readFile(path, "utf8"))
const write = (path: string, text: string) =>
  Effect.promise(async () => {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, text)
  })

/** The base of the micro family with other files besides its own, by name, in the directory `model` of another. */
const modelWith = Effect.fnUntraced(function* (files: Readonly<Record<string, string>>) {
  const base = yield* micro("base")
  const path = join(yield* scratch, "model")
  for (const [name, from] of Object.entries(base.files))
    yield* Effect.promise(() => cp(from, join(path, name)))
  for (const [name, text] of Object.entries(files)) yield* write(join(path, name), text)
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

// The cases 01-config-floats-gemma2, 01b-config-floats-rope and 15-infinity-in-config.
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

const own = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"]

describe("what goes along with a result (10-adapter-config-carried)", () => {
  const along = [
    "LICENSE",
    "additional_chat_templates/tool_use.jinja",
    "modeling_own.py",
    "preprocessor_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "video_preprocessor_config.json",
  ]
  const left = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "checkpoint-500/config.json",
    "checkpoint-500/optimizer.pt",
    "consolidated.00.pth",
    "flax_model.msgpack",
    "mergekit_config.yml",
    "model-00001-of-00002.safetensors",
    "onnx/decoder_config.json",
    "openvino_model.xml",
    "original/params.json",
    "params.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "q4.gguf",
    "rng_state_0.pth",
    "scheduler.pt",
    "tf_model.h5",
    "trainer_state.json",
    "training_args.bin",
  ]

  it.effect(
    "is what describes the model; not adapters, other weights and what training left, and that is told",
    () =>
      Effect.gen(function* () {
        const texts = Object.fromEntries([...along, ...left, "notes.xyz"].map((name) => [name, `of ${name}`]))
        const model = yield* modelWith(texts)
        const notes: Array<string> = []
        const merged = yield* mergedWithItself(model, "", {
          onReport: (report) => notes.push(...report.notes),
        })
        const names = readdirSync(merged, { recursive: true, withFileTypes: true })
          .filter((each) => each.isFile())
          .map((each) => join(each.parentPath, each.name).slice(merged.length + 1))
        assert.sameMembers(names, [...own, ...along, "notes.xyz", "model.safetensors", "README.md"])
        for (const name of along) assert.strictEqual(yield* read(join(merged, name)), `of ${name}`)
        const told = notes.filter((note) => note.startsWith("files of"))
        assert.deepStrictEqual(
          told.map((note) => note.replace(model, "M")),
          [
            "files of M that do not go along: adapter_config.json, adapter_model.safetensors (adapter); checkpoint-500/, rng_state_0.pth, scheduler.pt, trainer_state.json, training_args.bin (training); consolidated.00.pth, flax_model.msgpack, model-00001-of-00002.safetensors, onnx/, openvino_model.xml, original/ and 5 more (weights); mergekit_config.yml (recipe)",
            "files of M that go along as they are, unknown: notes.xyz",
          ],
        )
        const quiet: Array<string> = []
        yield* mergedWithItself(`${family}base`, "", { onReport: (report) => quiet.push(...report.notes) })
        assert.deepStrictEqual(
          quiet.filter((note) => note.startsWith("files of")),
          [],
        )
      }),
  )

  it.effect("is not what is unknown and as large as weights", () =>
    Effect.gen(function* () {
      const model = yield* modelWith({ "weights.xyz": "", "small.xyz": "" })
      yield* Effect.promise(() => truncate(join(model, "weights.xyz"), (64 << 20) + 1))
      const notes: Array<string> = []
      const merged = yield* mergedWithItself(model, "", { onReport: (report) => notes.push(...report.notes) })
      assert.isFalse(existsSync(join(merged, "weights.xyz")))
      assert.isTrue(existsSync(join(merged, "small.xyz")))
      assert.include(notes, `files of ${model} that do not go along: weights.xyz (unknown and large)`)
    }),
  )

  it.effect(
    "is not what leads nowhere: a document is passed over, a file of the model is named (23-broken-link)",
    () =>
      Effect.gen(function* () {
        const model = yield* modelWith({})
        const link = (target: string, name: string) =>
          Effect.promise(() => symlink(target, join(model, name)))
        yield* link("/nonexistent/blob", "USE_POLICY.md")
        yield* link("/nonexistent/weights", "pytorch_model.bin")
        yield* link(".", "itself")
        yield* link("round", "round")
        const merged = yield* mergedWithItself(model, "")
        assert.sameMembers(readdirSync(merged), [...own, "model.safetensors", "README.md"])
        yield* link("/nonexistent/blob", "special_tokens_map.json")
        const error = yield* Effect.flip(mergedWithItself(model, ""))
        assert.strictEqual(
          error.message.replace(model, "M"),
          "M: special_tokens_map.json is a link to what is not there: get the file again, or remove the link",
        )
      }),
  )
})

describe("the card of a result names as its bases what the Hub knows (25-card-local-path)", () => {
  it.effect("not a directory, though its path looks like a name", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      for (const name of ["a", "b"])
        yield* Effect.promise(() => cp(`${family}base`, join(directory, "ck", name), { recursive: true }))
      const recipe = join(directory, "recipe.yml")
      const model = (name: string) => `- {model: ck/${name}, parameters: {weight: 0.5}}\n`
      yield* write(recipe, `merge_method: linear\nmodels:\n${model("a")}${model("b")}`)
      yield* mergeRecipe(recipe, join(directory, "merged"))
      const card = yield* read(join(directory, "merged", "README.md"))
      const [, matter] = /^---\n([\s\S]*?)---\n/.exec(card) ?? []
      const facts: unknown = parse(matter ?? "")
      assert.notProperty(facts, "base_model")
      assert.notProperty(facts, "base_model_relation")
      assert.nestedPropertyVal(facts, "hila.inputs[1].directory", "ck/b")
      assert.notNestedProperty(facts, "hila.inputs[1].model")
      assert.match(card, /\| model \| directory `ck\/b` \| model\.safetensors \| `[0-9a-f]{64}` \|/)
    }),
  )

  it.effect("but the repository whose snapshot a directory is", () =>
    Effect.gen(function* () {
      const snapshot = join(yield* scratch, "models--me--base-1", "snapshots", "0123abcd")
      yield* Effect.promise(() => cp(`${family}base`, snapshot, { recursive: true }))
      const card = yield* read(join(yield* mergedWithItself(snapshot, ""), "README.md"))
      assert.match(card, /\nbase_model:\n {2}- me\/base-1\nbase_model_relation: merge\n/)
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
