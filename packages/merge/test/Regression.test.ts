import { assert, describe, it } from "@effect/vitest"
import { merge } from "@hila/merge/Recipe"
import type { WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import {
  blocked,
  check,
  covariances,
  diagonal,
  floats,
  type Form,
  full,
  models,
  ones,
  run,
  some,
  type Tensors,
  written,
} from "./statistics.ts"
import { eliminated } from "./systems.ts"
import { micro, random, scratch, tensorBytes } from "./support.ts"

describe("regmean and factored", () => {
  it.effect("of equal models are that model; identity covariances give the average", () =>
    Effect.gen(function* () {
      const [math, code] = yield* models
      const base = yield* micro("base")
      const directory = yield* scratch
      const make = (name: string, kind: WeightStatistics.Kind, tensors: Tensors) =>
        written(join(directory, name), kind, tensors)
      const grams = [
        yield* make("g1", "gram", covariances(math, 1, blocked(4))),
        yield* make("g2", "gram", covariances(math, 2, blocked(4))),
      ]
      const both = [
        yield* make("k1", "kronecker", covariances(math, 1, blocked(4), blocked(2))),
        yield* make("k2", "kronecker", covariances(math, 2, blocked(4), blocked(2))),
      ]
      const plain = [yield* make("i", "gram", covariances(math, 1, ones))]
      const equal = { base, models: [math, math] }
      const cases = [
        [{ models: [math], statistics: [grams[0]!] }, { method: "regmean" }],
        [{ models: [math, math], statistics: grams }, { method: "regmean" }],
        // Equal experts are task arithmetic's result only where λ K is 1: else the ridge draws away from them.
        [
          { ...equal, statistics: grams },
          { method: "factored", parameters: { lambda: 0.5, lambda_rest: 0.5 } },
        ],
        [
          { ...equal, statistics: both },
          { method: "factored", parameters: { lambda: 0.5, lambda_rest: 0.5 } },
        ],
      ] as const
      for (const [index, [inputs, params]] of cases.entries()) {
        const result = yield* merge(inputs, params, join(directory, `m${index}`), { digests: false })
        assert.deepStrictEqual(yield* tensorBytes(result), yield* tensorBytes(math))
      }
      const average = yield* run(
        { models: [math, code], statistics: [plain[0]!, plain[0]!] },
        { method: "regmean" },
      )
      const linear = yield* run({ models: [math, code] }, { method: "linear" })
      yield* check(average.result, (name) => floats(linear.result, name), 1e-7)
      // Without a ridge one model is drawn to itself; with diagonal factors in one step.
      const own = [yield* make("d", "kronecker", covariances(math, 3, diagonal, diagonal))]
      const alone = yield* run(
        { base, models: [math], statistics: own },
        { method: "factored", parameters: { rho: 0, lambda_rest: 1 } },
      )
      yield* check(alone.result, (name) => floats(math, name), 1e-6)
      // λ = 0 draws towards the base, and only an endless ridge reaches it.
      const held = yield* run(
        { base, models: [math, code], statistics: [own[0]!, own[0]!] },
        { method: "factored", parameters: { rho: 1e9, lambda: 0, lambda_rest: 0 } },
      )
      yield* check(held.result, (name) => floats(base, name), 1e-6)
    }),
  )

  it.effect("regmean solves the paper's equation, and says how well", () =>
    Effect.gen(function* () {
      const experts = yield* models
      const directory = yield* scratch
      const tensors = experts.map((model, index) => covariances(model, index + 5, full))
      const statistics = yield* Effect.forEach(tensors, (of, index) =>
        written(join(directory, `${index}`), "gram", of),
      )
      const { card, result } = yield* run({ models: experts, statistics }, { method: "regmean" })
      assert.match(
        card,
        /28 of \d+ tensors were solved; the largest residual is \d\.\de-1\d \(model\.layers\./,
      )
      const name = some[0]!
      const gram = (t: number, i: number, j: number) => {
        const [[size = 0], values] = tensors[t]!.get(`${name}.input`)!
        return values[i * size + j]! * (i === j ? 1 : 0.9)
      }
      const weights = yield* Effect.forEach(experts, (model) => floats(model, name))
      const [, columns = 0] = result.tensors.get(name)!.shape
      const row = 3
      const expected = eliminated(
        columns,
        (i, j) => gram(0, i, j) + gram(1, i, j),
        (i) => {
          let sum = 0
          for (const [t, own] of weights.entries())
            for (let j = 0; j < columns; j++) sum += gram(t, i, j) * own[row * columns + j]!
          return sum
        },
      )
      const got = (yield* floats(result, name)).slice(row * columns, (row + 1) * columns)
      for (const [i, value] of got.entries()) assert.isBelow(Math.abs(value - expected[i]!), 1e-6)
    }),
  )

  it.effect("factored without output gradients is its own closed form; threads change nothing", () =>
    Effect.gen(function* () {
      const experts = yield* models
      const base = yield* micro("base")
      const directory = yield* scratch
      const solved = Effect.fnUntraced(function* (
        name: string,
        input: Form,
        gradient: Form | undefined,
        threads = 0,
        iterations = 60,
      ) {
        const statistics = yield* Effect.forEach(experts, (model, index) =>
          written(
            join(directory, `${name} ${index}`),
            gradient === undefined ? "gram" : "kronecker",
            covariances(model, index + 9, input, gradient),
          ),
        )
        const parameters = { iterations, tolerance: 1e-6, rho: 2 }
        return yield* run(
          { base, models: experts, statistics },
          { method: "factored", parameters },
          { threads },
        )
      })
      const closed = yield* solved("closed", blocked(16), undefined)
      const iterated = yield* solved("iterated", blocked(16), ones)
      yield* check(iterated.result, (tensor) => floats(closed.result, tensor), 1e-4)
      assert.match(iterated.card, /tensors were solved in at most \d+ iterations; the largest residual is/)
      const one = yield* solved("t0", diagonal, blocked(8), 0, 5)
      const two = yield* solved("t2", diagonal, blocked(8), 2, 5)
      assert.deepStrictEqual(yield* tensorBytes(two.result), yield* tensorBytes(one.result))
    }),
  )

  it.effect("factored solves an embedding row by row where its statistics are there", () =>
    Effect.gen(function* () {
      const experts = yield* models
      const base = yield* micro("base")
      const directory = yield* scratch
      const name = "model.embed_tokens.weight"
      const [vocabulary = 0, size = 0] = base.tensors.get(name)!.shape
      const tensors = experts.map((model, index): Tensors => {
        const next = random(30 + index)
        return new Map([
          ...covariances(model, index, diagonal, diagonal),
          [`${name}.frequency`, diagonal(vocabulary, next)],
          [`${name}.outputGradient`, full(size, next)],
          [`${name}.headResidual`, diagonal(vocabulary, next)],
          [`${name}.headInput`, full(size, next)],
        ])
      })
      const statistics = yield* Effect.forEach(tensors, (of, index) =>
        written(join(directory, `${index}`), "kronecker", of),
      )
      const parameters = { rho: 1, iterations: 100, tolerance: 1e-7 }
      const { result } = yield* run({ base, models: experts, statistics }, { method: "factored", parameters })
      const mean = (values: Float32Array, stride: number) => {
        let [sum, count] = [0, 0]
        for (let i = 0; i < values.length; i += stride) [sum, count] = [sum + values[i]!, count + 1]
        return sum / count
      }
      const of = (t: number, suffix: string) => tensors[t]!.get(`${name}.${suffix}`)![1]
      const pairs = [0, 1].flatMap((t) => [
        { t, left: of(t, "frequency"), right: of(t, "outputGradient") },
        { t, left: of(t, "headResidual"), right: of(t, "headInput") },
      ])
      const ridge = pairs.reduce((sum, { left, right }) => sum + mean(left, 1) * mean(right, size + 1), 0) / 2
      const weights = yield* Effect.forEach(experts, (model) => floats(model, name))
      const from = yield* floats(base, name)
      const row = 7
      const expected = eliminated(
        size,
        (i, j) =>
          pairs.reduce(
            (sum, { left, right }) => sum + left[row]! * right[i * size + j]!,
            i === j ? ridge : 0,
          ),
        (i) => {
          const at = row * size + i
          let sum = ridge * (from[at]! + 0.5 * (weights[0][at]! + weights[1]![at]! - 2 * from[at]!))
          for (const { left, right, t } of pairs)
            for (let j = 0; j < size; j++)
              sum += left[row]! * right[i * size + j]! * weights[t]![row * size + j]!
          return sum
        },
      )
      const got = (yield* floats(result, name)).slice(row * size, (row + 1) * size)
      for (const [i, value] of got.entries()) assert.isBelow(Math.abs(value - expected[i]!), 1e-5)
    }),
  )
})
