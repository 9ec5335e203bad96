/**
 * The kernels in WebAssembly SIMD, over one shared memory.
 *
 * Arrays are passed as pointers, so each must be a view of that memory; the engine's blocks are. Nothing here allocates.
 */
import { known } from "@hila/core/Lookup"
import { instantiate, type SharedMemory } from "../internal/webAssembly.ts"
import type { Kernels } from "./Kernels.ts"
import * as Random from "./Random.ts"
import { base64 } from "./wasmBytes.ts"

/** The dtypes that convert to and from f32. */
export type FloatDtype = "F64" | "F32" | "F16" | "BF16"

/** Kernels, and what the engine needs besides: the conversions between files and them, and the care of counters. */
export interface Arithmetic extends Kernels {
  /** Sets everything to 0. */
  readonly clear: (array: Float32Array | Uint32Array) => void
  /** The counts that are not 0, as (index, count) pairs in `out`, which has room for all; gives how many. */
  readonly gather: (out: Uint32Array, counts: Uint32Array) => number
  /** `out` = `bytes` as f32; F64 is rounded to nearest even. True where all are known to be finite. */
  readonly decode: (out: Float32Array, bytes: Uint8Array, dtype: FloatDtype) => boolean
  /** `bytes` = `values` in another dtype, rounded to nearest even. True where all are known to be finite. */
  readonly encode: (bytes: Uint8Array, values: Float32Array, dtype: FloatDtype) => boolean
  /**
   * A weighted sum of BF16 inputs to BF16 in one sweep, with the bits of `addScaled`, `divide`, `applyTo` and `encode`
   * (after `subtract` where there is a base). The number of elements is a multiple of 8; `table` has room for two
   * elements per input. True where every input and every result is finite; otherwise `out` has no meaning.
   */
  readonly weightedSum: (out: Uint8Array, inputs: SumInputs, table: Float32Array) => boolean
}

/** What is summed: `Σ w x / divisor`, or `base + lambda · Σ w (x − base) / divisor`. */
export interface SumInputs {
  readonly base: Uint8Array | undefined
  readonly inputs: ReadonlyArray<Uint8Array>
  readonly weights: ReadonlyArray<number>
  readonly divisor: number
  readonly lambda: number
}

type Convert = (out: number, from: number, count: number) => void

/** What assembly/kernels.as exports: arrays as pointers in bytes, counts of elements last but for coefficients. */
interface Exports {
  readonly subtract: (out: number, a: number, b: number, n: number) => void
  readonly multiply: (out: number, a: number, b: number, n: number) => void
  readonly scale: (values: number, n: number, factor: number) => void
  readonly affine: (values: number, n: number, factor: number, offset: number) => void
  readonly divide: (values: number, n: number, divisor: number) => void
  readonly addScaled: (sum: number, values: number, n: number, weight: number) => void
  readonly addSquaredDifference: (sum: number, a: number, b: number, n: number) => void
  readonly applyTo: (sum: number, base: number, n: number, lambda: number) => void
  readonly sumAbs: (values: number, n: number) => number
  readonly dot: (a: number, b: number, n: number) => number
  readonly countNonzero: (values: number, n: number) => number
  readonly firstOutside: (values: number, n: number, limit: number) => number
  readonly countHigh: (counts: number, values: number, n: number) => void
  readonly countLow: (counts: number, values: number, n: number, bin: number) => void
  readonly keepLargest: (values: number, n: number, threshold: number, ties: number) => number
  readonly dropLargest: (values: number, n: number, threshold: number, ties: number) => number
  readonly keepWhere: (values: number, kept: number, n: number) => void
  readonly gather: (out: number, counts: number, n: number) => number
  readonly clear: (at: number, bytes: number) => void
  readonly addAgreeing: (
    sum: number,
    divisor: number,
    values: number,
    votes: number,
    n: number,
    factor: number,
    weight: number,
  ) => void
  readonly divideNonzero: (values: number, divisors: number, n: number) => void
  readonly divideFloored: (values: number, divisors: number, n: number, floor: number) => void
  readonly keepRandom: (values: number, n: number, k: number, l: number, low: number, least: number) => void
  readonly keepRandomEach: (
    values: number,
    probabilities: number,
    n: number,
    k: number,
    l: number,
    low: number,
  ) => void
  readonly rankRows: (out: number, values: number, n: number, columns: number, scratch: number) => void
  readonly keepRanked: (
    values: number,
    n: number,
    columns: number,
    k: number,
    l: number,
    low: number,
    factor: number,
    offset: number,
    scratch: number,
  ) => void
  readonly packNonzero: (bits: number, values: number, rows: number, columns: number) => void
  readonly keepBits: (values: number, bits: number, rows: number, columns: number) => void
  readonly decodeBf16: (...of: Parameters<Convert>) => number
  readonly decodeF16: Convert
  readonly decodeF64: Convert
  readonly encodeBf16: (...of: Parameters<Convert>) => number
  readonly encodeF16: Convert
  readonly encodeF64: Convert
  readonly weightedSum: (
    out: number,
    base: number,
    table: number,
    inputs: number,
    n: number,
    divisor: number,
    lambda: number,
  ) => number
}

/** The kernels over `memory`; each thread makes its own. */
export const make = (memory: SharedMemory): Arithmetic => {
  const wasm = instantiate<Exports>(Buffer.from(base64, "base64"), memory)
  const at = (array: Float32Array | Uint32Array | Uint8Array) => array.byteOffset
  const bytesOf = (values: Float32Array) =>
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const most = (ties: number) => Math.min(ties, 0x7fffffff)
  const keepRandomEach: Arithmetic["keepRandomEach"] = (values, probabilities, key, start) => {
    for (const { first, high, length, low } of Random.runs(start, values.length)) {
      const [k, l] = Random.lanes(key, high)
      wasm.keepRandomEach(at(values) + 4 * first, at(probabilities) + 4 * first, length, k, l, low)
    }
  }
  const keepRanked: Arithmetic["keepRanked"] = (values, columns, probability, { key, start }, scratch) => {
    const { factor, offset } = probability
    const [run, ...more] = Random.runs(start, values.length)
    if (run !== undefined && more.length === 0) {
      const [k, l] = Random.lanes(key, run.high)
      wasm.keepRanked(at(values), values.length, columns, k, l, run.low, factor, offset, at(scratch))
    } else if (values.length > columns) {
      for (let row = 0; row < values.length; row += columns)
        keepRanked(
          values.subarray(row, row + columns),
          columns,
          probability,
          { key, start: start + row },
          scratch,
        )
    } else {
      // The one row in which the index passes a multiple of 2^32.
      const probabilities = scratch.subarray(0, columns)
      wasm.rankRows(at(probabilities), at(values), columns, columns, at(scratch.subarray(columns)))
      wasm.affine(at(probabilities), columns, factor, offset)
      keepRandomEach(values, probabilities, key, start)
      wasm.keepWhere(at(values), at(values), columns)
    }
  }
  return {
    subtract: (out, a, b) => wasm.subtract(at(out), at(a), at(b), out.length),
    multiply: (out, a, b) => wasm.multiply(at(out), at(a), at(b), out.length),
    scale: (values, factor) => wasm.scale(at(values), values.length, factor),
    affine: (values, factor, offset) => wasm.affine(at(values), values.length, factor, offset),
    divide: (values, divisor) => wasm.divide(at(values), values.length, divisor),
    addScaled: (sum, values, weight) => wasm.addScaled(at(sum), at(values), sum.length, weight),
    addSquaredDifference: (sum, a, b) => wasm.addSquaredDifference(at(sum), at(a), at(b), sum.length),
    applyTo: (sum, base, lambda) => wasm.applyTo(at(sum), at(base), sum.length, lambda),
    sumAbs: (values) => wasm.sumAbs(at(values), values.length),
    dot: (a, b) => wasm.dot(at(a), at(b), a.length),
    countNonzero: (values) => wasm.countNonzero(at(values), values.length),
    firstOutside: (values, limit) => wasm.firstOutside(at(values), values.length, limit),
    countHigh: (counts, values) => wasm.countHigh(at(counts), at(values), values.length),
    countLow: (counts, values, bin) => wasm.countLow(at(counts), at(values), values.length, bin),
    keepLargest: (values, threshold, ties) =>
      wasm.keepLargest(at(values), values.length, threshold, most(ties)),
    dropLargest: (values, threshold, ties) =>
      wasm.dropLargest(at(values), values.length, threshold, most(ties)),
    keepWhere: (values, kept) => wasm.keepWhere(at(values), at(kept), values.length),
    gather: (out, counts) => wasm.gather(at(out), at(counts), counts.length),
    clear: (array) => wasm.clear(at(array), array.byteLength),
    addAgreeing: (sum, divisor, values, votes, factor, weight) =>
      wasm.addAgreeing(at(sum), at(divisor), at(values), at(votes), sum.length, factor, weight),
    divideNonzero: (values, divisors) => wasm.divideNonzero(at(values), at(divisors), values.length),
    divideFloored: (values, divisors, floor) =>
      wasm.divideFloored(at(values), at(divisors), values.length, floor),
    keepRandom: (values, key, start, keep) => {
      const least = Math.min(Math.max(Math.ceil(Math.fround(keep) * 2 ** 24), 0), 2 ** 24)
      for (const { first, high, length, low } of Random.runs(start, values.length)) {
        const [k, l] = Random.lanes(key, high)
        wasm.keepRandom(at(values) + 4 * first, length, k, l, low, least)
      }
    },
    keepRandomEach,
    keepRanked,
    rankRows: (out, values, columns, scratch) =>
      wasm.rankRows(at(out), at(values), values.length, columns, at(scratch)),
    packNonzero: (bits, values, columns) =>
      wasm.packNonzero(at(bits), at(values), values.length / columns, columns),
    keepBits: (values, bits, columns) =>
      wasm.keepBits(at(values), at(bits), values.length / columns, columns),
    decode: (out, bytes, dtype) => {
      if (dtype === "BF16") return wasm.decodeBf16(at(out), at(bytes), out.length) === 1
      if (dtype === "F16") wasm.decodeF16(at(out), at(bytes), out.length)
      else if (dtype === "F64") wasm.decodeF64(at(out), at(bytes), out.length)
      else bytesOf(out).set(bytes)
      return false
    },
    encode: (bytes, values, dtype) => {
      if (dtype === "BF16") return wasm.encodeBf16(at(bytes), at(values), values.length) === 1
      if (dtype === "F16") wasm.encodeF16(at(bytes), at(values), values.length)
      else if (dtype === "F64") wasm.encodeF64(at(bytes), at(values), values.length)
      else bytes.set(bytesOf(values))
      return false
    },
    weightedSum: (out, { base, divisor, inputs, lambda, weights }, table) => {
      const places = new Uint32Array(table.buffer, table.byteOffset, table.length)
      for (const [index, input] of inputs.entries()) {
        places[2 * index] = at(input)
        table[2 * index + 1] = known(weights[index])
      }
      const from = base === undefined ? 0 : at(base)
      return wasm.weightedSum(at(out), from, at(table), inputs.length, out.length / 2, divisor, lambda) === 1
    },
  }
}
