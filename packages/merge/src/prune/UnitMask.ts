/**
 * The mask of a task vector as a method of the engine: of each unit the elements of largest magnitude, or of largest
 * random key, and as many as it is to keep. The result is not 0 where an element stays.
 *
 * The tensors of a layer reduce together, for a unit has a part in several. Elements outside every unit are not in the
 * mask. Of equal magnitudes the first stay: in the order of the tensors, in each by rows.
 */
import { at, known } from "@hila/core/Lookup"
import type { Block, Method, Task } from "../engine/Method.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Largest from "../methods/Largest.ts"
import * as Region from "../units/Region.ts"
import * as Sparsifier from "./Sparsifier.ts"

/** A unit's part in a tensor; `unit` is its number in the layer. */
export interface Part extends Region.Span {
  readonly unit: number
}

export interface Params {
  /** What reduces together. */
  readonly layer: string
  /** Of this tensor. */
  readonly parts: ReadonlyArray<Part>
  /** How many elements each unit of the layer keeps, and what share of its elements these are. */
  readonly keep: ReadonlyArray<number>
  readonly density: ReadonlyArray<number>
  readonly sparsifier: Sparsifier.Sparsifier
  readonly seed: number
}

const MAGNITUDE = 0x7fffffff

/** A block as rows of the grid in which spans count; a vector is a column. */
const rowsOf = ({ columns, firstRow, rows, start }: Block, { shape }: Task): Region.Rows =>
  shape.length < 2 ? { firstRow: start, rows: rows * columns, columns: 1 } : { firstRow, rows, columns }

/** The keys of a block by which elements are chosen, in place of the model's values, and where units lie in it. */
const keysOf = (kernels: Kernels, block: Block, task: Task<Params>) => {
  const { density, parts, seed, sparsifier } = task.params
  const keys = at(block.models, 0)
  kernels.subtract(keys, keys, block.base)
  const rows = rowsOf(block, task)
  const regions = parts.map((part) => ({ unit: part.unit, region: Region.within(rows, part) }))
  for (const { region, unit } of regions)
    Sparsifier.overwrite(sparsifier, seed, task.tensor, rows, region, at(density, unit), keys)
  return { keys, rows, regions }
}

const sizeOf = ({ bottom, left, right, top }: Region.Region) =>
  Math.max(bottom - top, 0) * Math.max(right - left, 0)

/** The keys of each unit of the layer in a block, one after another. */
const byUnit = (kernels: Kernels, block: Block, task: Task<Params>): ReadonlyArray<Float32Array> => {
  const { keys, regions, rows } = keysOf(kernels, block, task)
  return task.params.keep.map((_, unit) => {
    const own = regions.filter((part) => part.unit === unit && sizeOf(part.region) > 0)
    const gathered = block.temporary(own.reduce((sum, { region }) => sum + sizeOf(region), 0))
    let end = 0
    for (const { region } of own) {
      const { bottom, left, right, top } = region
      for (let row = top; row < bottom; row++) {
        const of = row * rows.columns
        gathered.set(keys.subarray(of + left, of + right), end)
        end += right - left
      }
    }
    return gathered
  })
}

export const method: Method<Params, Largest.State, Largest.Carry> = {
  name: "unit-mask",
  module: import.meta.url,
  block: "rows",
  group: ({ layer }) => layer,
  start: () => Largest.start,
  passes: ({ params: { keep } }) =>
    Largest.passes<Params, Largest.State>({
      streams: keep.length,
      each: 1,
      values: byUnit,
      keep: ({ params }) => params.keep.map((count) => [count]),
      zeros: true,
    }),
  carry: Largest.carry,
  combine: (kernels, block, task, state, { left }) => {
    const { keys, regions, rows } = keysOf(kernels, block, task)
    const bits = new Uint32Array(keys.buffer, keys.byteOffset, keys.length)
    for (const { region, unit } of regions) {
      const { threshold } = at(at(state.cuts, unit), 0)
      const ties = at(left, unit)
      for (let row = region.top; row < region.bottom; row++) {
        for (let column = region.left; column < region.right; column++) {
          const index = row * rows.columns + column
          const pattern = known(bits[index]) & MAGNITUDE
          if (pattern < threshold) continue
          if (pattern === threshold) {
            if (known(ties[0]) === 0) continue
            ties[0] = known(ties[0]) - 1
          }
          block.out[index] = 1
        }
      }
    }
  },
}
