// Statistics that no data give are refused before a weight is written (cases security/recipes/gram-nan.yml and
// kronecker-nan.yml): one NaN hung `regmean`, and made `factored` write its starting point.
import { assert, describe, it } from "@effect/vitest"
import { merge } from "@hila/merge/Recipe"
import type { WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { run as solve } from "../src/statistics/dense/Work.ts"
import {
  blocked,
  covariances,
  diagonal,
  full,
  models,
  ones,
  perElement,
  type Tensors,
  written,
} from "./statistics.ts"
import { micro, scratch } from "./support.ts"

const linear = "model.layers.1.mlp.down_proj.weight"

/** The statistics with one value of one tensor changed. */
const spoilt = (tensors: Tensors, name: string, at: number, value: number): Tensors =>
  new Map(
    [...tensors].map(([own, [shape, values]]) =>
      own === name ? [own, [shape, values.with(at, value)]] : [own, [shape, values]],
    ),
  )

const cases: ReadonlyArray<
  readonly [
    title: string,
    method: "regmean" | "factored" | "fisher" | "led" | "aim",
    kind: WeightStatistics.Kind,
    tensor: string,
    at: number,
    value: number,
    problem: RegExp,
  ]
> = [
  [
    "NaN in a Gram matrix",
    "regmean",
    "gram",
    `${linear}.input`,
    385,
    NaN,
    /expected finite numbers, got NaN at \[1, 1\]/,
  ],
  ["NaN between channels", "regmean", "gram", `${linear}.input`, 386, NaN, /got NaN at \[1, 2\]/],
  [
    "an infinite Gram matrix",
    "regmean",
    "gram",
    `${linear}.input`,
    0,
    Infinity,
    /expected finite numbers, got Infinity at \[0, 0\]/,
  ],
  [
    "a negative diagonal",
    "regmean",
    "gram",
    `${linear}.input`,
    385,
    -1,
    /expected no number below 0, got -1 at \[1, 1\]/,
  ],
  [
    "a Gram matrix that is not symmetric",
    "regmean",
    "gram",
    `${linear}.input`,
    384,
    1,
    /expected a symmetric matrix, got \S+ at \[0, 1\] and 1 at \[1, 0\]/,
  ],
  [
    "NaN in a left factor",
    "factored",
    "kronecker",
    `${linear}.outputGradient`,
    3,
    NaN,
    /got NaN at \[0, 3\]/,
  ],
  ["NaN in a right factor", "factored", "kronecker", `${linear}.input`, 3, NaN, /got NaN at \[0, 3\]/],
  [
    "a negative left diagonal",
    "factored",
    "kronecker",
    `${linear}.outputGradient`,
    0,
    -2,
    /got -2 at \[0, 0\]/,
  ],
  [
    "a negative element of a Fisher diagonal",
    "fisher",
    "fisher",
    linear,
    7,
    -1,
    /element 7 is -1; statistics must be finite and not below 0/,
  ],
  [
    "NaN in a Fisher diagonal",
    "fisher",
    "fisher",
    linear,
    7,
    NaN,
    /element 7 is NaN; statistics must be finite/,
  ],
  [
    "an infinite Fisher diagonal",
    "fisher",
    "fisher",
    linear,
    7,
    -Infinity,
    /element 7 is -Infinity; statistics must be finite/,
  ],
  [
    "a negative saliency",
    "led",
    "saliency",
    linear,
    7,
    -1,
    /element 7 is -1; statistics must be finite and not below 0/,
  ],
  [
    "NaN in a table of activations",
    "aim",
    "activation",
    `${linear}.magnitude`,
    5,
    NaN,
    /expected finite numbers, got NaN at \[5\]/,
  ],
  [
    "a negative activation",
    "aim",
    "activation",
    `${linear}.magnitude`,
    5,
    -3,
    /expected no number below 0, got -3 at \[5\]/,
  ],
]

const soundOf = Effect.fnUntraced(function* (kind: WeightStatistics.Kind) {
  const [math] = yield* models
  switch (kind) {
    case "gram":
      return covariances(math, 1, full)
    case "kronecker":
      return covariances(math, 1, full, full)
    case "activation":
      return new Map(
        [...covariances(math, 1, diagonal)].map(([name, tensor]) => [
          name.replace(/input$/, "magnitude"),
          tensor,
        ]),
      )
    default:
      return perElement(math, 1)
  }
})

describe("statistics that no data give", () => {
  for (const [title, method, kind, tensor, at, value, problem] of cases) {
    it.effect(`${title}: ${method} refuses it with file, tensor and place, and writes nothing`, () =>
      Effect.gen(function* () {
        const [math, code] = yield* models
        const base = yield* micro("base")
        const directory = yield* scratch
        const sound = yield* soundOf(kind)
        const good = yield* written(join(directory, "good.safetensors"), kind, sound)
        const bad = yield* written(join(directory, "bad.safetensors"), kind, spoilt(sound, tensor, at, value))
        const inputs =
          method === "aim"
            ? { base, models: [math], statistics: [bad] }
            : method === "led"
              ? { base, models: [math, code], statistics: [good, bad, good] }
              : { ...(method === "factored" ? { base } : {}), models: [math, code], statistics: [good, bad] }
        const out = join(directory, "out")
        const error = yield* Effect.flip(merge(inputs, { method }, out, { digests: false }))
        assert.match(error.message, problem)
        assert.include(error.message, "bad.safetensors")
        assert.include(error.message, tensor)
        assert.strictEqual(error.blame, "input")
        assert.isFalse(existsSync(out))
      }),
    )
  }

  it.effect("what differs by rounding alone is symmetric, in full and by blocks", () =>
    Effect.gen(function* () {
      const [math] = yield* models
      const directory = yield* scratch
      for (const [index, form] of [full, blocked(4)].entries()) {
        const rounded = new Map(
          [...covariances(math, 1, form)].map(([name, [shape, values]]) => [
            name,
            [shape, values.map((value, i) => (i % 2 === 0 ? value : value * (1 + 2 ** -9)))] as const,
          ]),
        )
        const statistics = yield* written(join(directory, `g${index}`), "gram", rounded)
        yield* merge(
          { models: [math], statistics: [statistics] },
          { method: "regmean" },
          join(directory, `m${index}`),
          { digests: false },
        )
      }
      const zeros = new Map(
        [...covariances(math, 1, ones)].map(([name, [shape, values]]) => [
          name,
          [shape, values.map(() => 0)] as const,
        ]),
      )
      const silent = yield* written(join(directory, "z"), "gram", zeros)
      yield* merge(
        { models: [math], statistics: [silent] },
        { method: "regmean" },
        join(directory, "silent"),
        {
          digests: false,
        },
      )
    }),
  )
})

describe("equations of numbers that are not finite", () => {
  const factor = (...values: ReadonlyArray<number>) => ({
    blocks: 1,
    size: 2,
    values: Float32Array.from(values),
  })
  const shape = { rows: 1, columns: 2, models: [Float32Array.of(1, 2), Float32Array.of(3, 4)] }
  const towards = Float32Array.of(2, 3)
  const one = factor(1, 0, 0, 1)
  for (const [title, values] of [
    ["NaN on the diagonal", [NaN, 0, 0, 1]],
    ["NaN beside it", [1, NaN, NaN, 1]],
    ["infinity", [Infinity, 0, 0, 1]],
    ["a diagonal below 0", [-Infinity, 0, 0, -1]],
  ] as const) {
    it(`${title}: end with an error, in closed form and by iterations`, () => {
      const bad = factor(...values)
      const closed = { ...shape, inputs: [one, bad], weights: [1, 1], alpha: 1, towards, ridge: 0 }
      assert.throws(() => solve({ _tag: "Regression", job: closed }), /finite/)
      const left = { blocks: 1, size: 1, values: Float32Array.of(1) }
      const terms = [one, bad].map((right, model) => ({ model, left, right }))
      const job = { ...shape, terms, towards, ridge: 0, iterations: 10, tolerance: 1e-5 }
      assert.throws(() => solve({ _tag: "Kronecker", job }), /no finite solution/)
    })
  }
})
