/**
 * Elementwise arithmetic of merging, over chunks of rows in f32.
 *
 * Every operation is rounded to f32 on its own (`Math.fround`, no fused multiply-add), so that a kernel in another
 * language gives the same bits. These loops know nothing of tensors, files or units: `columns` is the width of a row,
 * a region the rectangle to work on. Coefficients are rounded to f32 before they multiply.
 */
import type { Region } from "./Region.ts"

/** `sum += weight · values`. All arrays `[rows, columns]` flat. */
export const addScaled = (sum: Float32Array, values: Float32Array, weight: number): void => {
  const w = Math.fround(weight)
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + Math.fround(w * values[i]!)
}

/** `sum /= divisor`. */
export const divide = (sum: Float32Array, divisor: number): void => {
  const d = Math.fround(divisor)
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! / d
}

/** `out = values − base`: a piece of a task vector. */
export const subtract = (out: Float32Array, values: Float32Array, base: Float32Array): void => {
  for (let i = 0; i < out.length; i++) out[i] = values[i]! - base[i]!
}

/** `sum = base + lambda · sum`: a sum of task vectors applied to the base. Where it is 0 even the base's −0 stays. */
export const applyTo = (sum: Float32Array, base: Float32Array, lambda: number): void => {
  const l = Math.fround(lambda)
  for (let i = 0; i < sum.length; i++) {
    const step = Math.fround(l * sum[i]!)
    sum[i] = step === 0 ? base[i]! : base[i]! + step
  }
}

/** `sum += weight · (values − base)` inside a region. */
export const addDelta = (
  sum: Float32Array, // [rows, columns]
  values: Float32Array, // [rows, columns]
  base: Float32Array, // [rows, columns]
  weight: number,
  columns: number,
  region: Region,
): void => {
  const w = Math.fround(weight)
  for (let row = region.top; row < region.bottom; row++) {
    const end = row * columns + region.right
    for (let i = row * columns + region.left; i < end; i++) {
      sum[i] = sum[i]! + Math.fround(w * Math.fround(values[i]! - base[i]!))
    }
  }
}

/** `sum += weight · (values − base)` inside a region, where the mask has a one. */
export const addMaskedDelta = (
  sum: Float32Array, // [rows, columns]
  values: Float32Array, // [rows, columns]
  base: Float32Array, // [rows, columns]
  mask: Uint8Array, // [rows, ceil(columns / 8)], least significant bit first
  weight: number,
  columns: number,
  region: Region,
): void => {
  const w = Math.fround(weight)
  const stride = Math.ceil(columns / 8)
  for (let row = region.top; row < region.bottom; row++) {
    for (let column = region.left; column < region.right; column++) {
      if (((mask[row * stride + (column >> 3)]! >> (column & 7)) & 1) === 0) continue
      const i = row * columns + column
      sum[i] = sum[i]! + Math.fround(w * Math.fround(values[i]! - base[i]!))
    }
  }
}

/** Index of the first value that is NaN or not below `limit` in magnitude; −1 if there is none. */
export const firstOutside = (values: Float32Array, limit: number): number => {
  for (let i = 0; i < values.length; i++) if (!(Math.abs(values[i]!) < limit)) return i
  return -1
}
