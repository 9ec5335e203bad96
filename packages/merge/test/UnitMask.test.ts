import { assert, describe, it } from "@effect/vitest"
import { prune } from "@hila/merge"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { AnyMethod } from "../src/engine/Method.ts"
import type { Definition, Values } from "../src/methods/Definition.ts"
import { method, type Part } from "../src/prune/UnitMask.ts"
import { drive } from "./drive.ts"
import { bytesOf, micro, random, scratch, table } from "./support.ts"

const definition = { method: () => method as unknown as AnyMethod } as unknown as Definition

/** Which values of a matrix stay, one bit each, `chunk` values at a time. */
const kept = (
  values: Float32Array,
  columns: number,
  parts: ReadonlyArray<Part>,
  keep: ReadonlyArray<number>,
  chunk: number,
): ReadonlyArray<number> => {
  const density = keep.map(() => 0.5)
  const params = { layer: "0", parts, keep, density, sparsifier: "magnitude", seed: 0 } as unknown as Values
  const shape = [values.length / columns, columns]
  const base = new Float32Array(values.length)
  const [mask] = drive(definition, params, [{ name: "w", shape, base, models: [values] }], chunk)
  return [...mask!]
}

/** The slow obvious selection: sort indices by falling magnitude, lower index first, and keep the first `keep`. */
const sorted = (values: Float32Array, keep: number): ReadonlyArray<number> => {
  const order = [...values.keys()].toSorted((a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || a - b)
  const first = new Set(order.slice(0, keep))
  return [...values.keys()].map((index) => (first.has(index) ? 1 : 0))
}

/** Values over several blocks, of rows that are no whole number of bytes. */
const columns = 1021
const whole = (values: Float32Array): ReadonlyArray<Part> => [
  { unit: 0, axis: 0, start: 0, end: values.length / columns },
]

describe("the mask of a unit", () => {
  it("keeps what sorting keeps, whatever the chunks, on continuous values", () => {
    const next = random(1)
    const values = Float32Array.from(
      { length: 60 * columns },
      () => (next() - 0.5) * 10 ** Math.floor(next() * 12 - 8),
    )
    for (const keep of [0, 1, 17, 30_000, values.length - 1, values.length]) {
      for (const chunk of [1, 1 << 30])
        assert.deepStrictEqual(kept(values, columns, whole(values), [keep], chunk), sorted(values, keep))
    }
  })

  it("keeps the lowest indices among ties, zeros of both signs and subnormals", () => {
    const next = random(2)
    const palette = [0, -0, 1, -1, 1e-40, -1e-40, 0.5, 3.4e38, -3.4e38]
    for (let round = 0; round < 12; round++) {
      const values = Float32Array.from(
        { length: 40 * columns },
        () => palette[Math.floor(next() * palette.length)]!,
      )
      const keep = Math.floor(next() * (values.length + 1))
      assert.deepStrictEqual(
        kept(values, columns, whole(values), [keep], 1),
        sorted(values, keep),
        `keep ${keep} of ${values.length}`,
      )
    }
  })

  it("has nothing outside its rows or columns, and each unit counts for itself", () => {
    const values = Float32Array.from([9, 1, 8, 2, 7, 3, 6, 4, 5, 0, 9, 9]) // [3, 4]
    const parts = [{ unit: 0, axis: 1, start: 1, end: 3 } as const] // 1 8 | 3 6 | 0 9
    assert.deepStrictEqual(kept(values, 4, parts, [2], 100), [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0])
    const rows = [
      { unit: 1, axis: 0, start: 0, end: 1 } as const,
      { unit: 0, axis: 0, start: 2, end: 3 } as const,
    ]
    assert.deepStrictEqual(kept(values, 4, rows, [3, 1], 100), [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 1])
  })

  it.effect("is the same file on any number of threads, in chunks of any size", () =>
    Effect.gen(function* () {
      const [base, expert] = [yield* micro("base"), yield* micro("math")]
      const importance = yield* table(base, (unit) => unit % 7)
      const directory = yield* scratch
      const maskOf = Effect.fnUntraced(function* (
        sparsifier: "magnitude" | "della",
        threads: number,
        chunk: number,
      ) {
        const params = { density: 0.4, dropFraction: 0.1, gamma: 1, rhoMin: 0.05, sparsifier, threads, chunk }
        const mask = yield* prune({ base, expert, importance }, params, join(directory, "mask"))
        return yield* bytesOf(mask.path)
      })
      for (const sparsifier of ["magnitude", "della"] as const) {
        const alone = yield* maskOf(sparsifier, 0, 1 << 20)
        assert.isTrue(alone.equals(yield* maskOf(sparsifier, 2, 3000)), sparsifier)
      }
    }),
  )
})
