import { assert, describe, it } from "@effect/vitest"
import { Compare, Inspect } from "@hila/merge/Tools"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as LowRank from "../src/adapters/LowRank.ts"
import { altered, micro, random, scratch } from "./support.ts"

const up = "model.layers.1.mlp.up_proj.weight"

describe("inspect", () => {
  it.effect("counts parameters by part and finds nothing odd in a sound model", () =>
    Effect.gen(function* () {
      const found = yield* Inspect.inspect(yield* micro("base"), { values: true })
      const parts = Object.values(found.parts).reduce((sum, count) => sum + count, 0)
      assert.strictEqual(parts, found.parameters)
      assert.deepInclude(found, {
        modelType: "llama",
        layers: 4,
        heads: 8,
        kvHeads: 4,
        vocabulary: 320,
        tied: true,
      })
      assert.deepStrictEqual(found.oddities, [])
      assert.match(Inspect.render(found), /nothing odd, every value is finite/)
    }),
  )

  it.effect("finds NaN, tensors of zeros, missing tensors and dtypes that config.json does not say", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const odd = yield* altered(
        yield* micro("base"),
        join(directory, "odd"),
        ({ dtype, name, shape }, values) => {
          if (name === up) return { dtype: "F32", name, shape, values: values.with(3, Number.NaN) }
          if (name === "model.norm.weight") return { dtype, name, shape, values: values.fill(0) }
          return name === "model.layers.3.mlp.gate_proj.weight" ? undefined : { dtype, name, shape, values }
        },
      )
      const { oddities } = yield* Inspect.inspect(odd, { values: true })
      assert.strictEqual(oddities.length, 4)
      assert.match(oddities[0]!, /model\.layers\.3\.mlp\.gate_proj\.weight.*is missing/)
      assert.match(oddities[1]!, /^config\.json says bfloat16, the weights are/)
      assert.include(oddities, `${up} has 1 of 49152 values that are NaN or infinite`)
      assert.include(oddities, "model.norm.weight is all zeros")
    }),
  )
})

describe("inspect of what it cannot read", () => {
  it.effect("names dtypes without values, and a tokenizer with more tokens than rows", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const name = "model.embed_tokens.weight"
      const base = yield* micro("base")
      const odd = yield* altered(base, join(directory, "odd"), ({ dtype, name: tensor, shape }, values) =>
        tensor === name
          ? { dtype, name, shape: [319, shape[1]!], values: values.subarray(0, 319 * shape[1]!) }
          : { dtype: tensor === up ? "F8_E4M3" : dtype, name: tensor, shape, values },
      )
      const { oddities } = yield* Inspect.inspect(odd, { values: true })
      assert.include(oddities, "1 tensors are F8_E4M3, which can neither be merged nor looked at here")
      assert.include(oddities, "the tokenizer has the token 319, the embedding only 319 rows")
    }),
  )
})

describe("compare", () => {
  it.effect("gives cosine, relative and largest difference per tensor, layer and unit", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const directory = yield* scratch
      const other = yield* altered(base, join(directory, "other"), ({ dtype, name, shape }, values) => ({
        dtype,
        name,
        shape,
        values: name === up ? values.map((value) => 2 * value) : values,
      }))
      const found = yield* Compare.compare(base, other)
      const { cosine, largest, relative } = found.tensors[up]!
      assert.approximately(cosine, 1, 1e-12)
      assert.approximately(relative, 1, 1e-12)
      const most = (yield* Checkpoint.readFloat32(base, up)).reduce(
        (max, value) => Math.max(max, Math.abs(value)),
        0,
      )
      assert.strictEqual(largest, most)
      assert.deepStrictEqual(found.tensors["model.norm.weight"], { cosine: 1, relative: 0, largest: 0 })
      const different = (of: Readonly<Record<string, Compare.Difference | null>>) =>
        Object.keys(of).filter((name) => of[name]?.relative !== 0)
      assert.deepStrictEqual(different(found.layers), ["1"])
      assert.deepStrictEqual(different(found.units), ["layers.1.mlp"])
      assert.strictEqual(Object.keys(found.units).length, 4 * 5)
    }),
  )

  it.effect("refuses models with other tensors", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const directory = yield* scratch
      const less = yield* altered(base, join(directory, "less"), ({ dtype, name, shape }, values) =>
        name === up ? undefined : { dtype, name, shape, values },
      )
      const error = yield* Effect.flip(Compare.compare(base, less))
      assert.strictEqual(error.message, `compare: models: tensor ${up}: the second model lacks it`)
    }),
  )
})

describe("a decomposition to a small rank", () => {
  const next = random(4)
  const made = (rows: number, columns: number): LowRank.Matrix => ({
    rows,
    columns,
    values: Float64Array.from({ length: rows * columns }, () => next() - 0.5),
  })
  const product = ({ singular, u, v }: LowRank.LowRank, rows: number, columns: number) =>
    Float64Array.from({ length: rows * columns }, (_, at) => {
      const [i, j] = [Math.floor(at / columns), at % columns]
      return singular.reduce(
        (sum, s, k) => sum + s * u.values[i * u.columns + k]! * v.values[j * v.columns + k]!,
        0,
      )
    })
  const distance = (a: Float64Array, b: Float64Array) =>
    Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]!) ** 2, 0))

  it("gives back a matrix of that rank, wide or tall", () => {
    for (const [rows, columns] of [
      [30, 12],
      [12, 30],
    ] as const) {
      const exact = LowRank.multiply(made(rows, 3), made(3, columns))
      const found = LowRank.decompose(exact, 3)
      assert.isBelow(distance(product(found, rows, columns), exact.values), 1e-9)
      assert.isTrue(found.singular.every((value, i) => i === 0 || value <= found.singular[i - 1]!))
    }
  })

  it("loses exactly the singular values that it leaves out (Eckart–Young)", () => {
    const full = made(16, 10)
    const all = LowRank.decompose(full, 10)
    const some = LowRank.decompose(full, 4)
    const rest = Math.sqrt(all.singular.subarray(4).reduce((sum, value) => sum + value * value, 0))
    assert.approximately(distance(product(some, 16, 10), full.values), rest, 1e-4 * rest)
  })
})
