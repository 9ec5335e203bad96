import { assert, describe, it } from "@effect/vitest"
import { fuse, type Mask, prune, type UnitWeights } from "@hila/merge"
import { Checkpoint, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { micro, scratch, table } from "./support.ts"

const name = "model.layers.0.mlp.up_proj.weight"

/** The scalars of a tensor that a mask keeps. */
const keptOf = Effect.fnUntraced(function* (mask: Mask.Mask, columns: number, count: number) {
  const bits = yield* Safetensors.read(mask.tensors.get(name)!)
  const stride = Math.ceil(columns / 8)
  return Uint8Array.from({ length: count }, (_, i) => {
    const column = i % columns
    return (bits[Math.floor(i / columns) * stride + (column >> 3)]! >> (column & 7)) & 1
  })
})

describe("sparsifiers", () => {
  it.effect(
    "that draw keep the exact number, one seed one draw, on average each scalar as often as they say",
    () =>
      Effect.gen(function* () {
        const [base, expert] = [yield* micro("base"), yield* micro("math")]
        const importance = yield* table(base)
        const directory = yield* scratch
        const [from, to] = [
          yield* Checkpoint.readFloat32(base, name),
          yield* Checkpoint.readFloat32(expert, name),
        ]
        const magnitudes = from.map((value, i) => Math.abs(to[i]! - value))
        const [, columns = 0] = base.tensors.get(name)!.shape
        const draw = (sparsifier: "dare" | "della", seed: number, chunk?: number) =>
          prune(
            { base, expert, importance },
            { density: 0.3, dropFraction: 0, gamma: 1, rhoMin: 0.05, sparsifier, seed, chunk },
            join(directory, `${sparsifier} ${seed} ${chunk}`),
          )
        for (const sparsifier of ["dare", "della"] as const) {
          const counts = new Float64Array(from.length)
          const seeds = 3
          for (let seed = 0; seed < seeds; seed++) {
            const mask = yield* draw(sparsifier, seed)
            const kept = yield* keptOf(mask, columns, from.length)
            for (const [i, bit] of kept.entries()) counts[i] = counts[i]! + bit
            const bits = yield* Effect.forEach(mask.tensors.values(), (info) => Safetensors.read(info))
            const set = bits.flatMap((bytes) => [...bytes]).reduce((sum, byte) => sum + popcount(byte), 0)
            assert.strictEqual(
              set,
              mask.units.reduce((sum, unit) => sum + unit.kept, 0),
            )
            const unit = mask.units.find((of) => of.unit === "layers.0.mlp")!
            assert.strictEqual(unit.scale, unit.size / unit.kept)
            if (seed > 0 || sparsifier === "della") continue
            const again = yield* keptOf(yield* draw(sparsifier, seed, 3000), columns, from.length)
            assert.deepStrictEqual(again, kept)
          }
          const share = (of: (i: number) => boolean) => {
            let [sum, all] = [0, 0]
            for (const [i, count] of counts.entries()) if (of(i)) [sum, all] = [sum + count, all + seeds]
            return sum / all
          }
          const median = [...magnitudes].toSorted((a, b) => a - b)[magnitudes.length >> 1]!
          const [large, small] = [
            share((i) => magnitudes[i]! > median),
            share((i) => magnitudes[i]! <= median),
          ]
          if (sparsifier === "dare") assert.isBelow(Math.abs(large - small), 0.02)
          else assert.isAbove(large - small, 0.08)
        }
      }),
  )

  it.effect("that draw are scaled up where the mask is applied", () =>
    Effect.gen(function* () {
      const [base, expert] = [yield* micro("base"), yield* micro("math")]
      const importance = yield* table(base)
      const directory = yield* scratch
      const mask = yield* prune(
        { base, expert, importance },
        { density: 0.25, dropFraction: 0, gamma: 1, rhoMin: 0.05, sparsifier: "dare" },
        join(directory, "mask"),
      )
      const rows = importance.rows.map(({ index, kind, layer, size, unit }) => ({
        unit,
        kind,
        layer,
        index,
        size,
        weights: [1],
      }))
      const weights: UnitWeights.UnitWeights = { scheme: "kvGroup", experts: 1, rows }
      const inputs = { base, experts: [expert], masks: [mask], weights }
      const result = yield* fuse(inputs, { lambda: 1 }, join(directory, "fused"))
      const [from, to, got] = [
        yield* Checkpoint.readFloat32(base, name),
        yield* Checkpoint.readFloat32(expert, name),
        yield* Checkpoint.readFloat32(result, name),
      ]
      const kept = yield* keptOf(mask, base.tensors.get(name)!.shape[1]!, from.length)
      const { scale = 1 } = mask.units.find(({ unit }) => unit === "layers.0.mlp")!
      assert.isAbove(scale, 3.9)
      for (const [i, start] of from.entries()) {
        const expected = start + kept[i]! * scale * (to[i]! - start)
        assert.isAtMost(Math.abs(got[i]! - expected), Math.abs(expected) / 200 + 1e-6)
      }
    }),
  )
})

const popcount = (byte: number): number => {
  let count = 0
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1
  return count
}
