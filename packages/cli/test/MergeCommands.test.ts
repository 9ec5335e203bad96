import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))
const recipe = `merge_method: ties
base_model: ${family}base
models:
- {model: ${family}math, parameters: {weight: 1, density: 0.5}}
- {model: ${family}code, parameters: {weight: 1, density: 0.5}}
`

// Nobody's own token may reach these.
process.env["HF_TOKEN"] = ""

describe("hila merge and its tools", () => {
  it.live("plan, merge, inspect and compare, for people and for programs", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      bench.write("recipe.yml", recipe)
      const plan = yield* bench.hila("plan-merge", "recipe.yml")
      assert.match(plan.out, /result +ties ×38 +38 /)
      const dry = yield* bench.hila("merge", "recipe.yml", "merged", "--dry-run")
      assert.deepStrictEqual([dry.out, dry.err, dry.code], [plan.out, "", 0])
      assert.notInclude(bench.files(), "merged")
      const merge = yield* bench.hila("merge", "recipe.yml", "merged", "--shard-size", "1MB")
      assert.strictEqual(merge.err, "")
      assert.match(merge.out, /wrote merged: 38 tensors in \d+\.\d s\n$/)
      assert.include(readdirSync(bench.path("merged")), "model.safetensors.index.json")
      assert.include(readFileSync(bench.path("merged/README.md"), "utf8"), "merge_method: ties")
      const inspect = yield* bench.hila("inspect", "merged", "--strict")
      assert.strictEqual(inspect.code, 0)
      assert.match(inspect.out, /nothing odd, every value is finite\n$/)
      const compare = yield* bench.hila("compare", "merged", `${family}base`, "--json")
      const { total }: { readonly total: { readonly cosine: number } } = JSON.parse(compare.out)
      assert.isAbove(total.cosine, 0.9)
      const again = yield* bench.hila("merge", "recipe.yml", "merged")
      assert.strictEqual(again.code, 2)
      assert.match(
        again.err,
        /^hila: .*merged: is not empty \(it has README\.md\): name a new directory, or empty this one\n$/,
      )
    }),
  )

  it.live("compare fails where it could not compare, in words and as JSON (case 16-compare-fp8)", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      for (const name of ["base", "math"]) {
        const weights = readFileSync(`${family}${name}/model.safetensors`, "latin1")
        const coded = weights.replace(
          '"model.norm.weight":{"dtype":"BF16"',
          '"model.norm.weight":{"dtype":"U16" ',
        )
        assert.notStrictEqual(coded, weights)
        mkdirSync(bench.path(name))
        writeFileSync(bench.path(`${name}/model.safetensors`), coded, "latin1")
        bench.write(`${name}/config.json`, readFileSync(`${family}${name}/config.json`, "utf8"))
      }
      const line =
        "1 of 38 tensors hold no numbers, are not the same, and were not compared (model.norm.weight, U16): use full-precision models"
      const shown = yield* bench.hila("compare", "base", "math")
      assert.deepStrictEqual([shown.code, shown.err], [2, `hila: base, math: ${line}\n`])
      assert.match(shown.out, /^outside +unknown$/m)
      assert.match(shown.out, /^model +unknown$/m)
      const { code, out } = yield* bench.hila("compare", "base", "math", "--json")
      const found: { readonly total: unknown; readonly notCompared: unknown } = JSON.parse(out)
      assert.deepStrictEqual(
        [code, found.total, found.notCompared],
        [2, null, { "model.norm.weight": "U16" }],
      )
      assert.strictEqual((yield* bench.hila("compare", "base", "base")).code, 0)
    }),
  )

  it.live("--dry-run looks at the place of the result, and --json has what pre-flight said", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      bench.write("recipe.yml", recipe)
      const taken = yield* bench.hila("merge", "recipe.yml", "toy.ts", "--dry-run")
      assert.match(taken.err, /toy\.ts: is a file, or below one: name a new directory\n$/)
      bench.write("noted.yml", `${recipe}dtype: bfloat16\n`)
      const { out } = yield* bench.hila("merge", "noted.yml", "noted", "--json")
      const { report }: { readonly report: { readonly notes: ReadonlyArray<string> } } = JSON.parse(out)
      assert.match(report.notes.join(), /arithmetic is in f32 all the same/)
    }),
  )

  it.live("a merged checkpoint, in one file or in three, is sound to inspect --strict and generates", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      bench.write("recipe.yml", `${recipe}out_dtype: float32\n`)
      const answers: Array<string> = []
      for (const [name, shards, ...size] of [
        ["one", 1],
        ["three", 3, "--shard-size", "1300kB"],
      ] as const) {
        assert.strictEqual((yield* bench.hila("merge", "recipe.yml", name, ...size)).err, "")
        const weights = readdirSync(bench.path(name)).filter((file) => file.endsWith(".safetensors"))
        assert.strictEqual(weights.length, shards)
        const inspect = yield* bench.hila("inspect", name, "--strict")
        assert.deepStrictEqual([inspect.code, inspect.err], [0, ""])
        const said = yield* bench.hila("generate", name, "--prompt", "Q: 87+45\nA:", "--max-tokens", "6")
        assert.deepStrictEqual([said.code, said.err], [0, ""])
        answers.push(said.out)
      }
      assert.strictEqual(answers[0], answers[1])
    }),
  )

  it.live("a mistake in a recipe is one line with its place, exit 2, and nothing is left", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      bench.write("recipe.yml", recipe.replace("density", "densitty"))
      const before = bench.files()
      const { code, err } = yield* bench.hila("merge", "recipe.yml", "merged")
      assert.strictEqual(
        err,
        'hila: recipe.yml:4:LINE: unknown parameter "densitty" for ties, did you mean "density"?\n'.replace(
          "LINE",
          err.split(":")[3]!,
        ),
      )
      assert.strictEqual(code, 2)
      assert.deepStrictEqual(bench.files(), before)
    }),
  )

  it.live("push without a name or a token is one line and exit 2", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const nameless = yield* bench.hila("push", `${family}math`, "tiny")
      assert.match(nameless.err, /^hila: Hub tiny@main: not the name of a repository: expected org\/name\n$/)
      const none = yield* bench.hila("push", `${family}math`, "me/tiny", "--private")
      assert.match(none.err, /^hila: Hub me\/tiny@main: pushing needs a token: set HF_TOKEN .*\n$/)
      assert.deepStrictEqual([none.code, nameless.code], [2, 2])
    }),
  )

  it.live("merge --schema prints a JSON Schema", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("merge", "--schema")
      const schema: { readonly $schema: string } = JSON.parse(out)
      assert.strictEqual(schema.$schema, "https://json-schema.org/draft/2020-12/schema")
    }),
  )
})
