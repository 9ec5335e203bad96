// What is given where a model or a recipe is expected is told for what it is, in one line.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdirSync } from "node:fs"
import { type Result, workbench } from "./workbench.ts"

const refused = (result: Result, line: RegExp) => {
  assert.match(result.err, line)
  assert.match(result.err, /^hila: [^\n]+\n$/)
  assert.deepStrictEqual([result.out, result.code], ["", 2])
}

const recipe = (...models: ReadonlyArray<string>) =>
  `merge_method: linear\nmodels:\n${models.map((model) => `- {model: ${model}, parameters: {weight: 1}}\n`).join("")}`

describe("What is no model and no recipe", () => {
  it.live("a GGUF file, adapters, a mixture of experts, a directory", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      bench.write("tiny.gguf", "GGUF")
      for (const name of ["first", "second"]) {
        mkdirSync(bench.path(name))
        bench.write(`${name}/adapter_config.json`, "{}")
      }
      bench.write("gguf.yml", recipe("./tiny.gguf", "./first"))
      bench.write("adapters.yml", recipe("./first", "./second"))
      bench.write("mixture.yml", "base_model: a\ngate_mode: hidden\nexperts: [{source_model: b}]\n")
      const adapter = /first: is an adapter, no model: a recipe adds it to its base, written base\+adapter/
      refused(
        yield* bench.hila("inspect", "tiny.gguf"),
        /tiny\.gguf: is a GGUF file, which is for llama\.cpp/,
      )
      refused(yield* bench.hila("inspect", "first"), adapter)
      refused(yield* bench.hila("compare", "first", "second"), adapter)
      refused(yield* bench.hila("merge", "adapters.yml", "out"), adapter)
      refused(yield* bench.hila("merge", "gguf.yml", "out"), /gguf\.yml:3:3: \.\/tiny\.gguf is a GGUF file/)
      refused(
        yield* bench.hila("merge", "mixture.yml", "out"),
        /mixture\.yml:2:1: "gate_mode" is a key of recipes for mixtures of experts/,
      )
      refused(
        yield* bench.hila("merge", "first", "out"),
        /first: is a directory; a merge is asked for by a recipe/,
      )
      assert.notInclude(bench.files(), "out")
    }),
  )
})
