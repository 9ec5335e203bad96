import { assert, describe, it } from "@effect/vitest"
import * as Selection from "../src/prune/Selection.ts"
import { random } from "./support.ts"

/** The slow obvious selection: sort indices by falling magnitude, lower index first, and keep the first `keep`. */
const sorted = (values: Float32Array, keep: number): Uint8Array => {
  const order = [...values.keys()].toSorted((a, b) => Math.abs(values[b]!) - Math.abs(values[a]!) || a - b)
  const kept = new Uint8Array(values.length)
  for (const index of order.slice(0, keep)) kept[index] = 1
  return kept
}

/** The streaming selection over one long row cut into pieces of eight bits and more. */
const streamed = (values: Float32Array, keep: number, step: number): Uint8Array => {
  const selection = Selection.make(keep)
  const pieces = Array.from({ length: Math.ceil(values.length / step) }, (_, i) =>
    values.subarray(i * step, (i + 1) * step),
  )
  const region = (piece: Float32Array) => ({ top: 0, bottom: 1, left: 0, right: piece.length })
  for (const piece of pieces) Selection.countCoarse(selection, piece, piece.length, region(piece))
  Selection.closeCoarse(selection)
  for (const piece of pieces) Selection.countFine(selection, piece, piece.length, region(piece))
  Selection.closeFine(selection)
  const kept: Array<number> = []
  for (const piece of pieces) {
    const mask = new Uint8Array(Math.ceil(piece.length / 8))
    Selection.mark(selection, mask, piece, piece.length, region(piece))
    for (let i = 0; i < piece.length; i++) kept.push((mask[i >> 3]! >> (i & 7)) & 1)
  }
  return Uint8Array.from(kept)
}

describe("Selection", () => {
  it("keeps what sorting keeps, whatever the pieces, on continuous values", () => {
    const next = random(1)
    const values = Float32Array.from(
      { length: 1000 },
      () => (next() - 0.5) * 10 ** Math.floor(next() * 12 - 8),
    )
    for (const keep of [0, 1, 2, 17, 500, 998, 999, 1000]) {
      for (const step of [1000, 7, 64])
        assert.deepStrictEqual(streamed(values, keep, step), sorted(values, keep))
    }
  })

  it("keeps the lowest indices among ties, zeros of both signs and subnormals", () => {
    const next = random(2)
    const palette = [0, -0, 1, -1, 1e-40, -1e-40, 0.5, 3.4e38, -3.4e38]
    for (let round = 0; round < 50; round++) {
      const length = 1 + Math.floor(next() * 300)
      const values = Float32Array.from({ length }, () => palette[Math.floor(next() * palette.length)]!)
      const keep = Math.floor(next() * (length + 1))
      assert.deepStrictEqual(streamed(values, keep, 13), sorted(values, keep), `keep ${keep} of ${length}`)
    }
  })

  it("counts and marks only its region of a chunk", () => {
    const values = Float32Array.from([9, 1, 8, 2, 7, 3, 6, 4, 5, 0, 9, 9]) // [3, 4]
    const region = { top: 0, bottom: 3, left: 1, right: 3 } // 1 8 | 3 6 | 0 9
    const selection = Selection.make(2)
    Selection.countCoarse(selection, values, 4, region)
    Selection.closeCoarse(selection)
    Selection.countFine(selection, values, 4, region)
    Selection.closeFine(selection)
    const mask = new Uint8Array(3)
    Selection.mark(selection, mask, values, 4, region)
    assert.deepStrictEqual([...mask], [0b0100, 0, 0b0100])
  })
})
