/**
 * The arithmetic that merging is made of, over short runs of f32 values.
 *
 * There are two implementations with the same bits: `Reference` in plain TypeScript, and `Wasm` with SIMD. Every f32
 * operation is rounded on its own (no fused multiply-add); coefficients are rounded to f32 before they are used;
 * reductions run in f64 over four partial sums (the sum of `a[i]` for `i mod 4` = 0, 1, 2, 3), added as
 * `(s0 + s1) + (s2 + s3)`. Arrays of one call have one length, must not overlap except where they are the same array,
 * and come from one `Block` (a worker's memory): an array made with `new` is not visible to SIMD code.
 */
export interface Kernels {
  /** `out = a − b`; `out` may be `a` or `b`. */
  readonly subtract: (out: Float32Array, a: Float32Array, b: Float32Array) => void
  /** `out = a · b`, element by element; `out` may be `a` or `b`. */
  readonly multiply: (out: Float32Array, a: Float32Array, b: Float32Array) => void
  /** `values = factor · values`. */
  readonly scale: (values: Float32Array, factor: number) => void
  /** `values = factor · values + offset`. */
  readonly affine: (values: Float32Array, factor: number, offset: number) => void
  /** `values = values / divisor`. */
  readonly divide: (values: Float32Array, divisor: number) => void
  /** `sum = sum + weight · values`. */
  readonly addScaled: (sum: Float32Array, values: Float32Array, weight: number) => void
  /** `sum = sum + (a − b)²`. */
  readonly addSquaredDifference: (sum: Float32Array, a: Float32Array, b: Float32Array) => void
  /** `sum = base + lambda · sum`: task vectors applied to the base. Where the step is 0 even the base's −0 stays. */
  readonly applyTo: (sum: Float32Array, base: Float32Array, lambda: number) => void

  /** Σ |values|, in f64. */
  readonly sumAbs: (values: Float32Array) => number
  /** Σ a · b, in f64. */
  readonly dot: (a: Float32Array, b: Float32Array) => number
  /** How many values are neither +0 nor −0. */
  readonly countNonzero: (values: Float32Array) => number
  /** The index of the first value that is NaN or not below `limit` in magnitude; −1 if there is none. */
  readonly firstOutside: (values: Float32Array, limit: number) => number

  /** Adds 1 to `counts[|x| >> 15]` for the bit pattern of each value: the first pass of a selection. `[2^16]` */
  readonly countHigh: (counts: Uint32Array, values: Float32Array) => void
  /** Adds 1 to `counts[|x| & 0x7fff]` for each value whose `|x| >> 15` is `bin`: the second pass. `[2^15]` */
  readonly countLow: (counts: Uint32Array, values: Float32Array, bin: number) => void
  /**
   * Sets to 0 every value whose magnitude has a bit pattern below `threshold`, and those equal to it after the first
   * `ties` of them; gives how many equal ones were kept.
   */
  readonly keepLargest: (values: Float32Array, threshold: number, ties: number) => number
  /**
   * Sets to 0 every value whose magnitude has a bit pattern above `threshold`, and the first `ties` equal to it; gives
   * how many equal ones were dropped. What `keepLargest` with the same arguments keeps, this drops.
   */
  readonly dropLargest: (values: Float32Array, threshold: number, ties: number) => number

  /** Sets to 0 every value where `kept` is 0. */
  readonly keepWhere: (values: Float32Array, kept: Float32Array) => void

  /**
   * Sign election, after the votes are summed. Where `values` has the sign of `votes` (a vote of 0 is positive; a value
   * of 0 agrees with none): `sum += factor · values` and `divisor += weight`.
   */
  readonly addAgreeing: (
    sum: Float32Array,
    divisor: Float32Array,
    values: Float32Array,
    votes: Float32Array,
    factor: number,
    weight: number,
  ) => void
  /** `values = values / divisors`, where a divisor of 0 counts as 1. */
  readonly divideNonzero: (values: Float32Array, divisors: Float32Array) => void
  /** `values = values / max(divisors, floor)`. */
  readonly divideFloored: (values: Float32Array, divisors: Float32Array, floor: number) => void

  /** Sets values to 0 but with probability `keep` each: element `start + i` of the stream `key` (see `Random`). */
  readonly keepRandom: (values: Float32Array, key: number, start: number, keep: number) => void
  /** As `keepRandom`, with one probability per value. */
  readonly keepRandomEach: (
    values: Float32Array,
    probabilities: Float32Array,
    key: number,
    start: number,
  ) => void
  /**
   * The rank of each magnitude inside its row, ascending from 0, as f32; equal magnitudes in order of index.
   * `scratch` has at least `4 · columns + 6144` elements of any content.
   */
  readonly rankRows: (
    out: Float32Array, // [rows, columns]
    values: Float32Array, // [rows, columns]
    columns: number,
    scratch: Float32Array,
  ) => void
  /**
   * Sets values to 0 at random by the rank of their magnitude in their row, as `rankRows`, `affine` and `keepRandomEach`
   * do together: rank r stays with probability `factor · r + offset`, factor ≥ 0. A −0 becomes 0. `scratch` has at least
   * `7 · columns + 8208` elements of any content.
   */
  readonly keepRanked: (
    values: Float32Array, // [rows, columns]
    columns: number,
    probability: { readonly factor: number; readonly offset: number },
    stream: { readonly key: number; readonly start: number },
    scratch: Float32Array,
  ) => void

  /** Sets the bit of each value that is not 0, and clears the others. Least significant first, rows padded to bytes. */
  readonly packNonzero: (
    bits: Uint8Array, // [rows, ceil(columns / 8)]
    values: Float32Array, // [rows, columns]
    columns: number,
  ) => void
  /** Sets to 0 every value whose bit is 0. */
  readonly keepBits: (
    values: Float32Array, // [rows, columns]
    bits: Uint8Array, // [rows, ceil(columns / 8)]
    columns: number,
  ) => void
}
