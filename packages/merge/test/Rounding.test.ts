/**
 * How near to the exact value a merge of bf16 models is, here and in mergekit 0.1.5: both against `exact.ts`, which
 * rounds nothing. `tools/oracles/existing_tool.py` made the fixture. `docs/rounding.md` has the table.
 */
import { assert, describe, it } from "@effect/vitest"
import { at, entry } from "@hila/core/Lookup"
import { mergeRecipe } from "@hila/merge/Recipe"
import { definitions } from "../src/methods/registry.ts"
import { Checkpoint, Dtype, Safetensors, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { exact, formulas, type Given } from "./exact.ts"
import * as Departures from "../src/plan/Departures.ts"
import { scratch } from "./support.ts"

const fixture = (name: string) => fileURLToPath(new URL(`fixtures/rounding/${name}`, import.meta.url))

interface Recipe {
  readonly models: ReadonlyArray<{
    readonly model: string
    readonly parameters?: Readonly<Record<string, number>>
  }>
  readonly parameters?: Readonly<Record<string, number>>
}
const recipes: Readonly<Record<string, Recipe>> = JSON.parse(readFileSync(fixture("recipes.json"), "utf8"))

const config = {
  model_type: "llama",
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 1,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-6,
}

/** The fixture's models as directories, and the order of names in its outputs. */
const models = Effect.gen(function* () {
  const directory = yield* scratch
  const { metadata, tensors } = yield* Safetensors.open(fixture("inputs.safetensors"))
  const order: ReadonlyArray<string> = JSON.parse(entry(metadata, "order"))
  for (const model of ["base", "a", "b", "c"]) {
    const path = join(directory, model)
    yield* Effect.promise(() => mkdir(path))
    yield* Effect.promise(() => writeFile(join(path, "config.json"), JSON.stringify(config)))
    yield* SafetensorsWriter.write(join(path, "model.safetensors"), {
      tensors: order.map((name) => ({ ...entry(tensors, `${model}/${name}`), name })),
      data: ({ name }, put) => Effect.flatMap(Safetensors.read(entry(tensors, `${model}/${name}`)), put),
    })
  }
  const values = (model: string, name: string) =>
    Effect.map(Safetensors.read(entry(tensors, `${model}/${name}`)), (bytes) =>
      Float64Array.from(Dtype.toFloat32(bytes, "BF16")),
    )
  return { directory, order, shapeOf: (name: string) => entry(tensors, `base/${name}`).shape, values }
})

/** The distance of two neighbours among the bf16 numbers of a value's size. */
const step = (value: number): number => 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(value)))) - 7)

/** Errors in steps of bf16, where there is one right answer. */
interface Errors {
  readonly here: ReadonlyArray<number>
  readonly tool: ReadonlyArray<number>
  readonly different: number
}

const errorsOf = Effect.fnUntraced(function* (method: string) {
  const { directory, order, shapeOf, values } = yield* models
  const recipe = entry(recipes, method)
  const file = join(directory, "recipe.yml")
  yield* Effect.promise(() => writeFile(file, JSON.stringify(recipe)))
  const result = yield* mergeRecipe(file, join(directory, "out"), { digests: false })
  const { tensors } = yield* Safetensors.open(fixture("outputs.safetensors"))
  const theirs = Dtype.toFloat32(yield* Safetensors.read(entry(tensors, method)), "BF16")
  const given: Given = {
    all: recipe.parameters ?? {},
    each: recipe.models.map(({ parameters }) => parameters ?? {}),
  }
  const found = { here: new Array<number>(), tool: new Array<number>(), different: 0 }
  let start = 0
  for (const name of order) {
    const input = {
      shape: shapeOf(name),
      base: yield* values("base", name),
      models: yield* Effect.forEach(recipe.models, ({ model }) => values(model, name)),
    }
    const { open, values: wanted } = exact(method, input, given)
    const ours = yield* Checkpoint.readFloat32(result, name)
    for (const [i, value] of wanted.entries()) {
      if (open.has(i)) continue
      const [here, tool] = [at(ours, i), at(theirs, start + i)]
      found.here.push(Math.abs(here - value) / step(value))
      found.tool.push(Math.abs(tool - value) / step(value))
      if (here !== tool) found.different += 1
    }
    start += wanted.length
  }
  assert.strictEqual(start, theirs.length)
  return found satisfies Errors
})

const mean = (values: ReadonlyArray<number>) =>
  values.reduce((total, value) => total + value, 0) / values.length
const share = (count: number, errors: ReadonlyArray<number>) =>
  `${((100 * count) / errors.length).toFixed(1)} %`

/** Right to the last bit but for the rounding at the end, and what f32 adds to that. */
const right = (error: number) => error <= 0.501

/** A row of the table in the documentation, as it has to stand there but for spaces. */
const row = (method: string, { different, here, tool }: Errors): string => {
  const [ours, theirs] = [mean(here), mean(tool)]
  return [
    `\`${method}\``,
    share(different, here),
    ours.toFixed(3),
    theirs.toFixed(3),
    share(here.filter(right).length, here),
    share(tool.filter(right).length, tool),
    Math.abs(ours - theirs) < 1e-4 ? "neither" : ours < theirs ? "Hila" : "mergekit 0.1.5",
  ].join(" | ")
}

/** The table's rows by method. */
const documented = new Map(
  readFileSync(fileURLToPath(new URL("../../../docs/rounding.md", import.meta.url)), "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, method] = /^\| `(\w+)`/.exec(line) ?? []
      const cells = line.split("|").slice(1, -1)
      return method === undefined ? [] : [[method, cells.map((cell) => cell.trim()).join(" | ")] as const]
    }),
)

describe("a merge of bf16 models, here and in mergekit 0.1.5, against its formula in f64", () => {
  for (const method of Object.keys(recipes)) {
    it.effect(`${method}: as docs/rounding.md says, and nowhere further from it than mergekit`, () =>
      Effect.gen(function* () {
        const errors = yield* errorsOf(method)
        assert.isAbove(errors.here.length, 2000)
        assert.strictEqual(documented.get(method), row(method, errors))
        assert.isAtMost(mean(errors.here), mean(errors.tool) + 1e-4)
        assert.strictEqual(errors.tool.every(right), !Departures.rounds(method))
        // Arcee fusion chooses elements by divergences that rounding to f32 decides.
        if (method !== "arcee_fusion") assert.isTrue(errors.here.every(right))
      }),
    )
  }

  it("of linear, what differs lies half-way between two numbers of bf16", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const { here, tool } = yield* errorsOf("linear")
        for (const [i, error] of here.entries()) assert.closeTo(error, at(tool, i), 1e-4)
      }).pipe(Effect.scoped),
    ))

  it("is shown of every method of mergekit's that draws nothing", () => {
    const own = ["pcb", "consensus_ta", "fisher", "regmean", "factored", "led", "aim"]
    const drawn = Object.entries(definitions).flatMap(([name, { random }]) => (random ? [name] : []))
    assert.sameMembers(
      Object.keys(definitions).filter((name) => ![...own, ...drawn].includes(name)),
      Object.keys(recipes),
    )
    assert.sameMembers(Object.keys(formulas), Object.keys(recipes))
    assert.strictEqual(documented.size, Object.keys(recipes).length)
  })
})
