import { assert, describe, it } from "@effect/vitest"
import { merge, mergeRecipe } from "@hila/merge/Recipe"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import {
  check,
  diagonal,
  floats,
  isLinear,
  models,
  perElement,
  run,
  some,
  type Tensors,
  written,
} from "./statistics.ts"
import { list, micro, random, scratch, tensorBytes } from "./support.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))

describe("fisher", () => {
  it.effect("weighs each element by what the losses depend on it", () =>
    Effect.gen(function* () {
      const experts = yield* models
      const directory = yield* scratch
      const tensors = experts.map((model, index) => perElement(model, index + 1))
      const statistics = yield* Effect.forEach(tensors, (of, index) =>
        written(join(directory, `${index}`), "fisher", of),
      )
      for (const normalize of [false, true]) {
        const { result } = yield* run(
          { models: experts, statistics },
          { method: "fisher", parameters: { normalize }, perModel: [{ weight: 1 }, { weight: 2 }] },
        )
        const norms = tensors.map((of) =>
          Math.sqrt([...of.values()].reduce((sum, [, x]) => sum + x.reduce((s, v) => s + v * v, 0), 0)),
        )
        const mean = (norms[0]! + norms[1]!) / 2
        yield* check(
          result,
          (name) =>
            Effect.map(
              Effect.forEach(experts, (model) => floats(model, name)),
              (values) =>
                values[0].map((_, i) => {
                  let [sum, total] = [0, 0]
                  for (const [t, own] of values.entries()) {
                    const share =
                      (t + 1) * (tensors[t]!.get(name)![1][i]! + 1e-6) * (normalize ? mean / norms[t]! : 1)
                    sum += share * own[i]!
                    total += share
                  }
                  return sum / total
                }),
            ),
          1e-6,
        )
      }
    }),
  )

  it.effect("of one model, or of equal ones, is that model", () =>
    Effect.gen(function* () {
      const expert = yield* micro("math")
      const directory = yield* scratch
      const statistics = yield* Effect.forEach([1, 2], (seed) =>
        written(join(directory, `${seed}`), "fisher", perElement(expert, seed)),
      )
      for (const count of [1, 2]) {
        const given = { models: [expert, expert].slice(0, count), statistics: statistics.slice(0, count) }
        const result = yield* merge(given, { method: "fisher" }, join(directory, `m${count}`), {
          digests: false,
        })
        assert.deepStrictEqual(yield* tensorBytes(result), yield* tensorBytes(expert))
      }
    }),
  )
})

describe("aim", () => {
  it.effect("relaxes towards the base in the channels that the base uses, and leaves embeddings alone", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const merged = yield* micro("math")
      const next = random(3)
      const magnitudes: Tensors = new Map(
        [...base.tensors.values()].flatMap(({ name, shape }) =>
          isLinear(name) || name.endsWith("norm.weight")
            ? [[`${name}.magnitude`, diagonal(shape.at(-1)!, next)] as const]
            : [],
        ),
      )
      const statistics = [yield* written(join(yield* scratch, "a"), "activation", magnitudes)]
      const inputs = { base, models: [merged], statistics }
      const { result } = yield* run(inputs, { method: "aim" })
      const relaxed = (name: string) =>
        Effect.gen(function* () {
          const [from, to] = [yield* floats(base, name), yield* floats(merged, name)]
          const a = magnitudes.get(`${name}.magnitude`)![1]
          const most = Math.max(...a)
          return to.map((value, i) => from[i]! + (value - from[i]!) * (1 - 0.6 * (a[i % a.length]! / most)))
        })
      yield* check(result, relaxed, 1e-6)
      yield* check(result, (name) => floats(merged, name), 0, ["model.embed_tokens.weight"])
      const all = yield* run(inputs, { method: "aim", parameters: { omega: 1 } })
      yield* check(all.result, (name) => floats(merged, name), 1e-7)
    }),
  )
})

describe("led", () => {
  it.effect("keeps what expert and base both rely on and no other expert does", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const experts = yield* models
      const directory = yield* scratch
      const tensors = [base, ...experts].map((model, seed) => perElement(model, seed + 20))
      const [ofBase, ...ofExperts] = yield* Effect.forEach(tensors, (of, index) =>
        written(join(directory, `${index}`), "saliency", of),
      )
      const { result } = yield* run(
        { base, models: experts, statistics: [...ofExperts, ofBase!] },
        { method: "led", perModel: [{ rate: 0.4 }, { rate: 0.3, weight: 2 }] },
      )
      const top = (index: number, name: string, rate: number) => {
        const values = tensors[index]!.get(name)![1]
        const order = [...values.keys()].toSorted((a, b) => values[b]! - values[a]! || a - b)
        return new Set(order.slice(0, Math.floor(rate * values.length)))
      }
      yield* check(
        result,
        (name) =>
          Effect.gen(function* () {
            const from = yield* floats(base, name)
            const values = yield* Effect.forEach(experts, (model) => floats(model, name))
            const rates = [0.4, 0.3]
            const elected = rates.map((rate, t) => [top(t + 1, name, rate), top(0, name, rate)])
            return from.map((start, i) => {
              const claims = elected.flatMap((own, t) => (own.every((of) => of.has(i)) ? [t] : []))
              const [t] = claims
              if (t === undefined || claims.length > 1) return start
              return start + 0.9 * (t + 1) * (values[t]![i]! - start)
            })
          }),
        1e-6,
      )
    }),
  )
})

describe("statistics that do not fit are refused in one line before a weight is read", () => {
  const cases: ReadonlyArray<readonly [title: string, text: (head: string) => string, line: RegExp]> = [
    [
      "none",
      () => `merge_method: fisher\nmodels:\n- model: ${family}math\n`,
      /^recipe\.yml:3:3: fisher needs statistics of kind fisher of .*math: add statistics$/,
    ],
    [
      "of another kind",
      () => `merge_method: fisher\nmodels:\n- model: ${family}math\n  statistics: gram\n`,
      /^recipe\.yml:4:15: fisher needs statistics of kind fisher, gram holds gram$/,
    ],
    [
      "a tensor missing",
      () => `merge_method: fisher\nmodels:\n- model: ${family}math\n  statistics: few\n`,
      /^recipe\.yml:4:15: statistics of .*math: the tensor model\.embed_tokens\.weight is missing$/,
    ],
    [
      "of other dimensions",
      () => `merge_method: regmean\nmodels:\n- model: ${family}math\n  statistics: wrong\n`,
      /^recipe\.yml:4:15: statistics of .*math: model\.layers\.0\.self_attn\.k_proj\.weight\.input: has shape \[3, 3\], expected \[(\d+)\], \[\1, \1\] or blocks that make up \1$/,
    ],
    [
      "for a method that uses none",
      () =>
        `merge_method: ties\nbase_model: ${family}base\nmodels:\n- model: ${family}math\n  parameters: {weight: 1}\n  statistics: gram\n`,
      /^recipe\.yml:6:15: statistics: ties uses none of the models; methods that use statistics: fisher, regmean, factored, aim, led$/,
    ],
    [
      "of a base that is needed",
      () => `merge_method: aim\nbase_model: ${family}base\nmodels:\n- model: ${family}math\n`,
      /^recipe\.yml:2:13: aim needs statistics of kind activation of the base: add base_statistics$/,
    ],
    [
      "of no tensor of the models",
      () => `merge_method: regmean\nmodels:\n- model: ${family}math\n  statistics: other\n`,
      /^regmean: statistics: no tensor of the models is in them: they are of other models$/,
    ],
  ]
  for (const [title, text, line] of cases) {
    it.effect(title, () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const small: readonly [ReadonlyArray<number>, Float32Array] = [[3, 3], new Float32Array(9)]
        const files = [
          ["gram", "gram", "x.input"],
          ["other", "gram", "x.input"],
          ["few", "fisher", "x"],
          ["wrong", "gram", `${some[0]!}.input`],
        ] as const
        for (const [name, kind, tensor] of files)
          yield* written(join(directory, name), kind, new Map([[tensor, small]]))
        const before = yield* list(directory)
        yield* Effect.promise(() => writeFile(join(directory, "recipe.yml"), text("")))
        const error = yield* Effect.flip(
          mergeRecipe(join(directory, "recipe.yml"), join(directory, "merged")),
        )
        assert.match(error.message.replaceAll(`${directory}/`, ""), line)
        assert.strictEqual(error.blame, "input")
        assert.sameMembers([...(yield* list(directory))], [...before, "recipe.yml"])
      }),
    )
  }
})
