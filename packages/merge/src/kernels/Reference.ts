/**
 * The kernels in plain TypeScript: what they mean, bit by bit, and what the SIMD ones are tested against.
 *
 * See `Kernels` for each operation.
 */
import { known } from "@hila/core/Lookup"
import type { Kernels } from "./Kernels.ts"
import * as Random from "./Random.ts"

const round = Math.fround
const MAGNITUDE = 0x7fffffff
const LOW_BITS = 15

const patterns = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length)

/** f64 partial sums of four, as `Kernels` says. */
const sumOf = (length: number, term: (index: number) => number): number => {
  const partial = [0, 0, 0, 0]
  for (let i = 0; i < length; i++) partial[i & 3] = known(partial[i & 3]) + term(i)
  return known(partial[0]) + known(partial[1]) + (known(partial[2]) + known(partial[3]))
}

const subtract: Kernels["subtract"] = (out, a, b) => {
  for (let i = 0; i < out.length; i++) out[i] = known(a[i]) - known(b[i])
}

const multiply: Kernels["multiply"] = (out, a, b) => {
  for (let i = 0; i < out.length; i++) out[i] = known(a[i]) * known(b[i])
}

const scale: Kernels["scale"] = (values, factor) => {
  const f = round(factor)
  for (let i = 0; i < values.length; i++) values[i] = f * known(values[i])
}

const affine: Kernels["affine"] = (values, factor, offset) => {
  const [f, o] = [round(factor), round(offset)]
  for (let i = 0; i < values.length; i++) values[i] = round(f * known(values[i])) + o
}

const divide: Kernels["divide"] = (values, divisor) => {
  const d = round(divisor)
  for (let i = 0; i < values.length; i++) values[i] = known(values[i]) / d
}

const addScaled: Kernels["addScaled"] = (sum, values, weight) => {
  const w = round(weight)
  for (let i = 0; i < sum.length; i++) sum[i] = known(sum[i]) + round(w * known(values[i]))
}

const addSquaredDifference: Kernels["addSquaredDifference"] = (sum, a, b) => {
  for (let i = 0; i < sum.length; i++) {
    const difference = round(known(a[i]) - known(b[i]))
    sum[i] = known(sum[i]) + round(difference * difference)
  }
}

const applyTo: Kernels["applyTo"] = (sum, base, lambda) => {
  const l = round(lambda)
  for (let i = 0; i < sum.length; i++) {
    const step = round(l * known(sum[i]))
    sum[i] = step === 0 ? known(base[i]) : known(base[i]) + step
  }
}

const sumAbs: Kernels["sumAbs"] = (values) => sumOf(values.length, (i) => Math.abs(known(values[i])))

const dot: Kernels["dot"] = (a, b) => sumOf(a.length, (i) => known(a[i]) * known(b[i]))

const countNonzero: Kernels["countNonzero"] = (values) => {
  let count = 0
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) count += 1
  return count
}

const firstOutside: Kernels["firstOutside"] = (values, limit) => {
  for (let i = 0; i < values.length; i++) if (!(Math.abs(known(values[i])) < limit)) return i
  return -1
}

const countHigh: Kernels["countHigh"] = (counts, values) => {
  const bits = patterns(values)
  for (let i = 0; i < bits.length; i++) {
    const upper = (known(bits[i]) & MAGNITUDE) >>> LOW_BITS
    counts[upper] = known(counts[upper]) + 1
  }
}

const countLow: Kernels["countLow"] = (counts, values, bin) => {
  const bits = patterns(values)
  for (let i = 0; i < bits.length; i++) {
    const pattern = known(bits[i]) & MAGNITUDE
    if (pattern >>> LOW_BITS !== bin) continue
    const lower = pattern & 0x7fff
    counts[lower] = known(counts[lower]) + 1
  }
}

/** Keeps or drops what is above the threshold and the first `ties` values equal to it; the others the other way. */
const select = (values: Float32Array, threshold: number, ties: number, keepTop: boolean): number => {
  const bits = patterns(values)
  let left = ties
  for (let i = 0; i < bits.length; i++) {
    const pattern = known(bits[i]) & MAGNITUDE
    let top = pattern > threshold
    if (pattern === threshold && left > 0) {
      top = true
      left -= 1
    }
    if (top !== keepTop) bits[i] = 0
  }
  return ties - left
}

const keepLargest: Kernels["keepLargest"] = (values, threshold, ties) => select(values, threshold, ties, true)

const dropLargest: Kernels["dropLargest"] = (values, threshold, ties) =>
  select(values, threshold, ties, false)

const keepWhere: Kernels["keepWhere"] = (values, kept) => {
  for (let i = 0; i < values.length; i++) if (kept[i] === 0) values[i] = 0
}

const addAgreeing: Kernels["addAgreeing"] = (sum, divisor, values, votes, factor, weight) => {
  const [f, w] = [round(factor), round(weight)]
  for (let i = 0; i < sum.length; i++) {
    const value = known(values[i])
    if (!(known(votes[i]) >= 0 ? value > 0 : value < 0)) continue
    sum[i] = known(sum[i]) + round(f * value)
    divisor[i] = known(divisor[i]) + w
  }
}

const divideNonzero: Kernels["divideNonzero"] = (values, divisors) => {
  for (let i = 0; i < values.length; i++)
    if (divisors[i] !== 0) values[i] = known(values[i]) / known(divisors[i])
}

const divideFloored: Kernels["divideFloored"] = (values, divisors, floor) => {
  const f = round(floor)
  for (let i = 0; i < values.length; i++)
    values[i] = known(values[i]) / (known(divisors[i]) > f ? known(divisors[i]) : f)
}

const keepRandom: Kernels["keepRandom"] = (values, key, start, keep) => {
  const least = Math.ceil(round(keep) * 2 ** 24) // n / 2^24 < keep where n < least
  drop(values, key, start, () => least)
}

const keepRandomEach: Kernels["keepRandomEach"] = (values, probabilities, key, start) => {
  drop(values, key, start, (index) => known(probabilities[index]) * 2 ** 24)
}

const drop = (values: Float32Array, key: number, start: number, least: (index: number) => number) => {
  for (const { first, high, length, low } of Random.runs(start, values.length)) {
    const [k, l] = Random.lanes(key, high)
    for (let i = 0; i < length; i++) {
      if (!(Random.bits24(k, l, low + i) < least(first + i))) values[first + i] = 0
    }
  }
}

const rankRows: Kernels["rankRows"] = (out, values, columns) => {
  const bits = patterns(values)
  const order = new Uint32Array(columns)
  for (let first = 0; first < values.length; first += columns) {
    for (let i = 0; i < columns; i++) order[i] = i
    const magnitude = (i: number) => known(bits[first + i]) & MAGNITUDE
    order.sort((a, b) => magnitude(a) - magnitude(b) || a - b)
    for (const [rank, i] of order.entries()) out[first + i] = rank
  }
}

const keepRanked: Kernels["keepRanked"] = (values, columns, { factor, offset }, { key, start }, scratch) => {
  const probabilities = new Float32Array(values.length)
  rankRows(probabilities, values, columns, scratch)
  affine(probabilities, factor, offset)
  keepRandomEach(values, probabilities, key, start)
  for (let i = 0; i < values.length; i++) if (values[i] === 0) values[i] = 0
}

const packNonzero: Kernels["packNonzero"] = (bits, values, columns) => {
  const stride = Math.ceil(columns / 8)
  bits.fill(0)
  for (let i = 0, row = 0; i < values.length; row++) {
    for (let column = 0; column < columns; column++, i++) {
      const at = row * stride + (column >> 3)
      if (values[i] !== 0) bits[at] = known(bits[at]) | (1 << (column & 7))
    }
  }
}

const keepBits: Kernels["keepBits"] = (values, bits, columns) => {
  const stride = Math.ceil(columns / 8)
  for (let i = 0, row = 0; i < values.length; row++) {
    for (let column = 0; column < columns; column++, i++) {
      if (((known(bits[row * stride + (column >> 3)]) >> (column & 7)) & 1) === 0) values[i] = 0
    }
  }
}

/** The kernels as loops over typed arrays of any memory. */
export const kernels: Kernels = {
  subtract,
  multiply,
  scale,
  affine,
  divide,
  addScaled,
  addSquaredDifference,
  applyTo,
  sumAbs,
  dot,
  countNonzero,
  firstOutside,
  countHigh,
  countLow,
  keepLargest,
  dropLargest,
  keepWhere,
  addAgreeing,
  divideNonzero,
  divideFloored,
  keepRandom,
  keepRandomEach,
  rankRows,
  keepRanked,
  packNonzero,
  keepBits,
}
