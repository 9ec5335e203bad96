import { assert, describe, it } from "@effect/vitest"
import { Density, Mask, prune } from "@hila/merge"
import { Checkpoint, Safetensors, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { list, micro, random, scratch, table } from "./support.ts"

/** A unit's scalars of expert − base in the order of its slices, each with its place in the mask. */
const scalarsOf = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  expert: Checkpoint.Checkpoint,
  unit: Unit.Unit,
) {
  const scalars: Array<{ tensor: string; row: number; column: number; delta: number }> = []
  for (const { axis, end, start, tensor } of unit.slices) {
    const [rows, columns] = base.tensors.get(tensor)!.shape as [number, number]
    const w0 = yield* Checkpoint.readFloat32(base, tensor)
    const wt = yield* Checkpoint.readFloat32(expert, tensor)
    for (let row = axis === 0 ? start : 0; row < (axis === 0 ? end : rows); row++) {
      for (let column = axis === 1 ? start : 0; column < (axis === 1 ? end : columns); column++) {
        const i = row * columns + column
        scalars.push({ tensor, row, column, delta: Math.fround(wt[i]! - w0[i]!) })
      }
    }
  }
  return scalars
})

describe("prune", () => {
  for (const scheme of ["kvGroup", "queryHead", "layer"] as const) {
    it.effect(`marks what sorting each unit's changes by magnitude marks (${scheme})`, () =>
      Effect.gen(function* () {
        const path = join(yield* scratch, "mask.safetensors")
        const base = yield* micro("base")
        const expert = yield* micro("lang")
        const importance = yield* table(base, (index) => random(index)(), scheme)
        const params = { density: 0.37, dropFraction: 0.1, gamma: 1, rhoMin: 0.05, chunk: 5000 }
        const mask = yield* prune({ base, expert, importance }, params, path)
        const { units } = yield* Unit.partition(base, scheme)
        const allocation = yield* Density.allocate(importance.rows, params)
        const bits = new Map<string, Uint8Array>()
        for (const info of mask.tensors.values()) bits.set(info.name, yield* Safetensors.read(info))
        const isKept = (tensor: string, row: number, column: number) => {
          const stride = mask.tensors.get(tensor)!.shape[1]!
          return ((bits.get(tensor)![row * stride + (column >> 3)]! >> (column & 7)) & 1) === 1
        }
        let total = 0
        for (const [index, unit] of units.entries()) {
          const scalars = yield* scalarsOf(base, expert, unit)
          const { kept } = allocation[index]!
          assert.strictEqual(mask.units[index]!.kept, kept)
          const order = [...scalars.keys()].toSorted(
            (a, b) => Math.abs(scalars[b]!.delta) - Math.abs(scalars[a]!.delta) || a - b,
          )
          const expected = new Set(order.slice(0, kept))
          const wrong = scalars.findIndex(
            ({ column, row, tensor }, i) => isKept(tensor, row, column) !== expected.has(i),
          )
          assert.strictEqual(wrong, -1, unit.id)
          total += kept
        }
        const size = units.reduce((sum, unit) => sum + unit.size, 0)
        assert.strictEqual(total, Math.floor(0.37 * size))
        const ones = [...bits.values()].reduce(
          (sum, bytes) => sum + bytes.reduce((n, byte) => n + popcount(byte), 0),
          0,
        )
        assert.strictEqual(ones, total)
      }),
    )
  }

  it.effect("says in one line what a mask keeps", () =>
    Effect.gen(function* () {
      const path = join(yield* scratch, "mask.safetensors")
      const base = yield* micro("base")
      const importance = yield* table(base, (index) => 1 + index)
      const params = { density: 0.25, dropFraction: 0.1, gamma: 0, rhoMin: 0.05 }
      const mask = yield* prune({ base, expert: yield* micro("math"), importance }, params, path)
      assert.strictEqual(
        Mask.artifact.summary(mask),
        "keeps 196608 of 786432 scalars (0.250), 2 of 20 units dropped",
      )
      assert.deepStrictEqual(yield* Mask.open(path), mask)
    }),
  )

  it.effect("refuses a table of another model, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const expert = yield* micro("math")
      const importance = yield* table(base)
      const params = { density: 0.5, dropFraction: 0, gamma: 1, rhoMin: 0.05 }
      const path = join(directory, "mask.safetensors")
      const message = (rows: typeof importance.rows) =>
        Effect.map(
          Effect.flip(prune({ base, expert, importance: { ...importance, rows } }, params, path)),
          (error) => error.message,
        )
      assert.strictEqual(
        yield* message(importance.rows.slice(1)),
        "prune: importance: has 19 units, expected 20; it was made for another model",
      )
      assert.strictEqual(
        yield* message(importance.rows.map((row) => ({ ...row, size: 12 }))),
        "prune: importance: unit 1 is layers.0.kvGroup.0 of 12 scalars, expected layers.0.kvGroup.0 of 12288 scalars; it was made for another model",
      )
      assert.deepStrictEqual(yield* list(directory), [])
    }),
  )

  it.effect("refuses a file that is no mask", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const error = yield* Effect.flip(Mask.open(base.files["model.safetensors"]!))
      assert.match(error.message, /not a valid mask: the header has no metadata named mask$/)
      assert.strictEqual(error.blame, "input")
    }),
  )
})

const popcount = (byte: number) => byte.toString(2).replaceAll("0", "").length
