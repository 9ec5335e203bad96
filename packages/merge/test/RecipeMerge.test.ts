import { assert, describe, it } from "@effect/vitest"
import { mergeRecipe, Prepared, Report, reportOf } from "@hila/merge/Recipe"
import { extractLora, Inspect } from "@hila/merge/Tools"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parse } from "yaml"
import { hubOf } from "./hub.ts"
import { altered, bytesOf, list, micro, scratch, tensorBytes } from "./support.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))
const up = "model.layers.1.mlp.up_proj.weight"

const models = (...rest: ReadonlyArray<string>) =>
  `models:\n${rest.map((model) => `- {model: ${model}, parameters: {weight: 0.5}}`).join("\n")}\n`
const ties = `merge_method: ties\nbase_model: ${family}base\n`
const linear = `merge_method: linear\n${models(`${family}base`, `${family}math`)}`

/** Merges the text of a recipe into `merged` of a scratch directory. */
const merge = Effect.fnUntraced(function* (text: string, options: Parameters<typeof mergeRecipe>[2] = {}) {
  const directory = yield* scratch
  const recipe = join(directory, "recipe.yml")
  yield* Effect.promise(() => writeFile(recipe, text))
  const path = join(directory, "merged")
  return { directory, path, merged: yield* mergeRecipe(recipe, path, { digests: false, ...options }) }
})

/** The one line a recipe is refused with, without its path; nothing may be left but the recipe. */
const refusal = Effect.fnUntraced(function* (text: string, options: Parameters<typeof mergeRecipe>[2] = {}) {
  const directory = yield* scratch
  const recipe = join(directory, "recipe.yml")
  yield* Effect.promise(() => writeFile(recipe, text))
  const error = yield* Effect.flip(mergeRecipe(recipe, join(directory, "merged"), options))
  assert.strictEqual(error.blame, "input")
  assert.notInclude(error.message, "\n")
  assert.deepStrictEqual(yield* list(directory), ["recipe.yml"])
  return error.message.replaceAll(`${directory}/`, "").replaceAll(family, "")
})

describe("a recipe that cannot be carried out is refused in one line before weights are read", () => {
  const cases: ReadonlyArray<readonly [title: string, text: string, line: string]> = [
    [
      "a missing parameter",
      `${ties}models:\n- model: ${family}math\n`,
      "recipe.yml:4:3: ties needs the parameter weight for math: add it to the model's parameters, or once in the recipe's",
    ],
    [
      "a mistyped parameter",
      `${ties}${models(`${family}math`)}parameters: {nomalize: true}\n`,
      'recipe.yml:5:14: unknown parameter "nomalize" for ties, did you mean "normalize"?',
    ],
    [
      "a parameter of the wrong kind",
      `${ties}${models(`${family}math`)}parameters: {lambda: big}\n`,
      'recipe.yml:5:22: lambda: expected a number, got "big"',
    ],
    [
      "a density above one",
      `${ties}${models(`${family}math`)}parameters: {density: 1.5}\n`,
      "recipe.yml:5:23: density: expected a number from 0 to 1, got 1.5",
    ],
    [
      "a method without its base",
      `merge_method: ties\n${models(`${family}math`)}`,
      "recipe.yml:1:15: ties needs a base: add base_model",
    ],
    [
      "too many models",
      `merge_method: slerp\nbase_model: ${family}base\n${models(`${family}math`, `${family}code`)}parameters: {t: 0.5}\n`,
      "recipe.yml:1:15: slerp merges 1 model besides the base, got 2",
    ],
    [
      "two bases",
      `${ties}slices:\n- base_model: ${family}math\n  sources:\n  - {model: ${family}code, layer_range: [0, 4], parameters: {weight: 1}}\n`,
      "recipe.yml:4:15: two bases, base and math: models of one merge must come from one base",
    ],
    [
      "a base listed twice",
      `${ties}${models(`${family}base`, `${family}base`, `${family}math`)}`,
      "recipe.yml:5:3: two bases: base is listed twice, and it is the base",
    ],
    [
      "a filter that matches nothing",
      `${ties}${models(`${family}math`)}parameters:\n  density: [{filter: self_atn, value: 0.5}, {value: 1}]\n`,
      'recipe.yml:6:22: the filter "self_atn" matches no tensor; a tensor is called, for example, model.layers.0.input_layernorm.weight',
    ],
    [
      "a layer that is not there",
      `merge_method: passthrough\nslices:\n- sources:\n  - {model: ${family}base, layer_range: [2, 6]}\n`,
      "recipe.yml:4:LINE: base has 4 layers, [0, 4); the range ends at 6",
    ],
    [
      "a model that is not there",
      "merge_method: passthrough\nmodels: [{model: nowhere}]\n",
      "recipe.yml:2:10: there is no directory nowhere (looked for nowhere and CWD/nowhere)",
    ],
    [
      "probabilities outside of zero and one",
      `merge_method: della\nbase_model: ${family}base\n${models(`${family}math`)}parameters: {density: 0.1, epsilon: 0.2}\n`,
      "recipe.yml:1:15: della: density 0.1 ± epsilon 0.2 of model 1 leaves the range of probabilities (0, 1); make epsilon smaller (tensor model.embed_tokens.weight)",
    ],
    [
      "a module that is not there",
      `merge_method: linear\nmodules:\n  vision_tower:\n    models: [{model: ${family}base, parameters: {weight: 1}}]\n`,
      'recipe.yml:3:3: there is no module "vision_tower": the models have default (4 layers)',
    ],
    [
      "an unknown chat template",
      `${linear}chat_template: chatlm\n`,
      'recipe.yml:5:16: there is no chat template "chatlm", did you mean "chatml"?, or give one as Jinja',
    ],
  ]
  for (const [title, text, line] of cases) {
    it.effect(title, () =>
      Effect.map(refusal(text), (message) => {
        const expected = line.replace("CWD", process.cwd()).replace("LINE", String(message.split(":")[2]))
        assert.strictEqual(message, expected)
      }),
    )
  }

  it.effect("an output directory that is not empty, and a disk that is too small", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const recipe = join(directory, "recipe.yml")
      yield* Effect.promise(() => writeFile(recipe, linear))
      const error = yield* Effect.flip(mergeRecipe(recipe, directory))
      assert.match(error.message, /is not empty \(it has recipe\.yml\)/)
      for (const place of [recipe, join(recipe, "merged")])
        assert.match(
          (yield* Effect.flip(mergeRecipe(recipe, place))).message,
          /recipe\.yml(\/merged)?: is a file, or below one: name a new directory$/,
        )
      const small = yield* refusal(linear, { freeBytes: () => Promise.resolve(1e6) })
      assert.match(
        small,
        /^merge: output: the disk of .*merged is too small: the result needs 1\.7 MB, free are 1\.0 MB$/,
      )
    }),
  )

  it.effect("shapes and vocabularies that differ, NaN, and weights of PyTorch", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const math = yield* micro("math")
      yield* altered(math, join(directory, "turned"), ({ dtype, name, shape }, values) => ({
        dtype,
        name,
        shape: name === up ? shape.toReversed() : shape,
        values,
      }))
      const turned = yield* refusal(ties + models(join(directory, "turned")))
      assert.match(
        turned,
        /^recipe\.yml:4:3: tensor model\.layers\.1\.mlp\.up_proj\.weight of .*turned has shape \[128, 384\], expected \[384, 128\] as in base \(.*\)$/,
      )

      yield* altered(math, join(directory, "fewer"), ({ dtype, name, shape }, values) =>
        name === "model.embed_tokens.weight"
          ? { dtype, name, shape: [300, shape[1]!], values: values.subarray(0, 300 * shape[1]!) }
          : { dtype, name, shape, values },
      )
      const fewer = yield* refusal(ties + models(join(directory, "fewer")))
      assert.match(
        fewer,
        /has a vocabulary of 300, base one of 320: say which to take with tokenizer_source \(base, union or a model\)$/,
      )

      yield* altered(math, join(directory, "broken"), ({ dtype, name, shape }, values) => ({
        dtype,
        name,
        shape,
        values: name === up ? values.with(7, Number.NaN) : values,
      }))
      for (const method of ["ties", "breadcrumbs", "ram", "sce"]) {
        const text = `merge_method: ${method}\nbase_model: ${family}base\n${models(join(directory, "broken"))}parameters: {density: 0.3}\n`
        assert.match(yield* refusal(text), /model\.layers\.1\.mlp\.up_proj\.weight.*NaN/)
      }

      yield* Effect.promise(() => mkdir(join(directory, "pickled")))
      yield* Effect.promise(() => writeFile(join(directory, "pickled", "pytorch_model.bin"), ""))
      const pickled = yield* refusal(ties + models(join(directory, "pickled")))
      assert.match(
        pickled,
        /has its weights in pytorch_model\.bin, a PyTorch file, which runs code when it is read: convert it to safetensors$/,
      )
    }),
  )
})

describe("a merge by recipe", () => {
  it.effect("carries the donor's files byte for byte and tells where it comes from", () =>
    Effect.gen(function* () {
      const { merged, path } = yield* merge(`${linear}seed: 3\n`, { digests: true })
      assert.deepStrictEqual(yield* list(path), [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
      ])
      const base = yield* micro("base")
      for (const name of ["config.json", "tokenizer.json", "tokenizer_config.json"])
        assert.deepStrictEqual(yield* bytesOf(merged.files[name]!), yield* bytesOf(base.files[name]!))
      const card = yield* Effect.promise(() => readFile(join(path, "README.md"), "utf8"))
      const [, matter] = /^---\n([\s\S]*?)---\n/.exec(card) ?? []
      const { hila, library_name } = parse(matter ?? "")
      assert.strictEqual(library_name, "transformers")
      assert.strictEqual(hila.seed, 3)
      assert.match(hila.inputs[1].sha256["model.safetensors"], /^[0-9a-f]{64}$/)
      assert.include(card, `\`\`\`yaml\n${linear}seed: 3\n\`\`\``)
      assert.deepStrictEqual((yield* Inspect.inspect(merged, { values: true })).oddities, [])
    }),
  )

  it.effect("writes shards that open, generate and are in order, with the dtype that was asked for", () =>
    Effect.gen(function* () {
      const text = `merge_method: task_arithmetic\nbase_model: ${family}base\n${models(`${family}math`, `${family}code`)}out_dtype: float32\n`
      const { merged, path } = yield* merge(text, { shardBytes: 1_300_000 })
      const shards = (yield* list(path)).filter((name) => name.endsWith(".safetensors"))
      assert.deepStrictEqual(shards, [
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
      ])
      assert.strictEqual(merged.config.dtype ?? merged.config.torch_dtype, "float32")
      assert.deepStrictEqual((yield* Inspect.inspect(merged, { values: true })).oddities, [])
      const again = (yield* merge(text)).merged
      assert.deepStrictEqual(yield* tensorBytes(again), yield* tensorBytes(merged))
      const prompts = ["12+7=", "3+4="]
      const generate = (checkpoint: Checkpoint.Checkpoint) =>
        Effect.gen(function* () {
          const model = yield* CausalModel.open(checkpoint)
          return (yield* model.generate(prompts, { maxTokens: 6 })).map(({ tokens }) => tokens)
        }).pipe(Effect.scoped, Effect.provide(Runtime.layerWith({ workers: 1, threads: 1 })))
      assert.deepStrictEqual(yield* generate(merged), yield* generate(again))
    }),
  )

  it.effect("takes another method for some tensors, and weights by head", () =>
    Effect.gen(function* () {
      const { merged } = yield* merge(
        `merge_method: task_arithmetic\nbase_model: ${family}base\nmodels:\n- model: ${family}math\n  parameters:\n    weight: [{filter: {head: {from: 0, to: 4}}, value: 1}, {value: 0}]\n` +
          `methods:\n- filter: {tensor: "*.mlp.*", layer: 2}\n  merge_method: ties\n  parameters: {weight: 1}\n`,
      )
      const [base, math] = [yield* micro("base"), yield* micro("math")]
      const read = (checkpoint: Checkpoint.Checkpoint, name: string) =>
        Checkpoint.readFloat32(checkpoint, name)
      const same = Effect.fnUntraced(function* (
        name: string,
        model: Checkpoint.Checkpoint,
        from = 0,
        to?: number,
      ) {
        assert.deepStrictEqual(
          (yield* read(merged, name)).slice(from, to),
          (yield* read(model, name)).slice(from, to),
          name,
        )
      })
      const query = "model.layers.0.self_attn.q_proj.weight"
      const half = base.tensors.get(query)!.shape.reduce((product, size) => product * size, 1) / 2
      yield* same(query, math, 0, half)
      yield* same(query, base, half)
      yield* same("model.layers.2.mlp.up_proj.weight", math)
      yield* same("model.layers.1.mlp.up_proj.weight", base)
    }),
  )

  it.effect(
    "mixes methods with and without a base: the base is a model to the one and apart to the other",
    () =>
      Effect.gen(function* () {
        const text = `merge_method: linear\nbase_model: ${family}base\n${models(`${family}base`, `${family}math`)}methods:\n- {filter: mlp, merge_method: task_arithmetic, parameters: {weight: 1}}\n`
        const { tensors } = yield* Prepared.fromText(text, "recipe.yml", "/")
        for (const { base, method, models: inputs, name } of tensors) {
          assert.strictEqual(method, name.includes("mlp") ? "task_arithmetic" : "linear")
          assert.deepStrictEqual(
            [base !== undefined, inputs.length],
            method === "linear" ? [false, 2] : [true, 1],
            name,
          )
        }
        const { merged } = yield* merge(text)
        const wanted = yield* Checkpoint.readFloat32(yield* micro("math"), up)
        assert.deepStrictEqual(yield* Checkpoint.readFloat32(merged, up), wanted)
      }),
  )

  it.effect("adds an adapter on the fly, as extracted from the model itself", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const [base, math] = [yield* micro("base"), yield* micro("math")]
      const changed = [up, "model.layers.2.self_attn.k_proj.weight", "model.norm.weight"]
      const tuned = new Map<string, Float32Array>()
      for (const name of changed) tuned.set(name, yield* Checkpoint.readFloat32(math, name))
      const only = yield* altered(base, join(directory, "only"), ({ dtype, name, shape }, values) => ({
        dtype,
        name,
        shape,
        values: tuned.get(name) ?? values,
      }))
      const { layers, leftOut } = yield* extractLora(base, only, 128, join(directory, "adapter"))
      assert.deepStrictEqual(
        layers.map(({ tensor }) => tensor),
        changed.slice(0, 2),
      )
      assert.deepStrictEqual(
        leftOut.map(({ reason, tensor }) => [tensor, reason]),
        [["model.norm.weight", "a norm or another vector"]],
      )
      for (const { error } of layers) assert.isBelow(error, 1e-6)
      const text = `merge_method: passthrough\nmodels:\n- model: {model: ${family}base, lora: ${join(directory, "adapter")}}\n`
      const { merged } = yield* merge(text)
      for (const { tensor } of layers) {
        const [got, wanted] = [
          yield* Checkpoint.readFloat32(merged, tensor),
          yield* Checkpoint.readFloat32(only, tensor),
        ]
        // Rounded to bfloat16 from sums that differ in the last bits of f32.
        for (const [i, value] of got.entries())
          assert.isAtMost(Math.abs(value - wanted[i]!), 2 ** -8 * Math.abs(wanted[i]!) + 1e-7, tensor)
      }
      assert.strictEqual(merged.tensors.get(up)?.dtype, "BF16")
    }),
  )

  it.effect(
    "takes models of the Hub: headers for pre-flight, weights when it has passed, digests without reading",
    () =>
      Effect.gen(function* () {
        const { log, use } = yield* hubOf({ "me/base": `${family}base`, "me/math": `${family}math` })
        const fromHub = (more: string) => `merge_method: linear\n${models("me/base", "me/math")}${more}`
        const asked = () => log.filter((line) => /^model\.safetensors \d/.test(line))
        const refused = yield* use(
          refusal(fromHub("parameters:\n  normalize: [{filter: nowhere, value: true}]\n")),
        )
        assert.match(refused, /matches no tensor/)
        const { length: weights } = yield* bytesOf(`${family}base/model.safetensors`)
        const whole = (line: string) => line.endsWith(`-${weights}`)
        assert.deepStrictEqual(asked().filter(whole), [])
        const { merged, path } = yield* use(merge(fromHub("chat_template: chatml\n"), { digests: true }))
        const wanted = (yield* merge(linear)).merged
        assert.deepStrictEqual(yield* tensorBytes(merged), yield* tensorBytes(wanted))
        const card = String(yield* bytesOf(join(path, "README.md")))
        assert.match(card, /base_model:\n {2}- me\/base\n {2}- me\/math\nbase_model_relation: merge\n/)
        assert.match(card, /\| model \| me\/math \| model\.safetensors \| `[0-9a-f]{64}` \|/)
      }),
  )

  it.effect("scales task vectors by layer with a gradient of lambda, which is LiNeS", () =>
    Effect.gen(function* () {
      const text = `merge_method: task_arithmetic\nbase_model: ${family}base\n${models(`${family}math`)}parameters: {lambda: [0.2, 0.8]}\n`
      const { tensors } = yield* Prepared.fromText(text, "recipe.yml", "/")
      const expected = new Map([
        [undefined, 0.2],
        [0, 0.2],
        [1, 0.4],
        [2, 0.6],
        [3, 0.8],
      ])
      for (const { name, subject, values } of tensors)
        assert.approximately(Number(values["lambda"]), expected.get(subject.layer)!, 1e-12, name)
    }),
  )

  it.effect("says before it begins what it needs and where it departs from mergekit 0.1.5", () =>
    Effect.gen(function* () {
      const text = `merge_method: breadcrumbs\nbase_model: ${family}base\n${models(`${family}math`)}parameters: {density: 0.5, gamma: 0.001, int8_mask: true, t: 1}\ndtype: bfloat16\n`
      const prepared = yield* Prepared.fromText(text, "recipe.yml", "/")
      const report = reportOf(prepared)
      assert.deepStrictEqual(report.methods, { breadcrumbs: 38 })
      assert.strictEqual(report.diskBytes, 2 * report.parameters)
      const shown = Report.render(report)
      assert.match(shown, /needs 1\.7 MB of disk and at most \d+\.\d MB of memory/)
      assert.match(shown, /note: int8_mask has no effect/)
      assert.match(shown, /note: t is no parameter of breadcrumbs and has no effect, as in mergekit 0.1.5/)
      assert.match(shown, /note: dtype bfloat16: arithmetic is in f32 all the same/)
      const few = `${ties}${models(`${family}math`)}parameters: {density: 0.001}\n`
      assert.match(
        Report.render(reportOf(yield* Prepared.fromText(few, "recipe.yml", "/"))),
        /note: 9 of 38 tensors \(.*, …\): the density keeps no element of a model here; mergekit 0\.1\.5 would keep one/,
      )
    }),
  )
})
