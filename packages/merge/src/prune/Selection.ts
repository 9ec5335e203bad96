/**
 * Exact selection of the k largest magnitudes in streaming passes, without sorting.
 *
 * The bit pattern of |x| as an unsigned integer orders like |x| itself, so a radix selection on the pattern finds the
 * k-th largest value exactly: one pass counts the upper 16 of its 31 bits, a second the lower 15 inside the bin where
 * the k-th value lies, a third marks. Values equal to the threshold are kept in order of index until k are kept, so the
 * result does not depend on chunks. NaN has no place in the order: refuse it before.
 */
import { known } from "@hila/core/Lookup"
import type { Region } from "../units/Region.ts"

const LOW_BITS = 15
const LOW_MASK = (1 << LOW_BITS) - 1
const MAGNITUDE = 0x7fffffff

/** A selection under way: how many to keep of the values seen, and what the passes have counted. */
export interface Selection {
  readonly keep: number
  readonly coarse: Uint32Array // [2^16] counts by the upper bits of |x|
  readonly fine: Uint32Array // [2^15] counts by the lower bits, inside `bin`
  /** Upper bits of the k-th largest magnitude; known after `closeCoarse`. */
  bin: number
  /** How many magnitudes lie above `bin`. */
  above: number
  /** Bit pattern of the k-th largest magnitude; known after `closeFine`. */
  threshold: number
  /** How many values equal to the threshold are still to be kept. */
  ties: number
}

/** A selection of the `keep` largest magnitudes; `keep` is an integer from 0 to the number of values to come. */
export const make = (keep: number): Selection => ({
  keep,
  coarse: new Uint32Array(1 << 16),
  fine: new Uint32Array(1 << LOW_BITS),
  bin: -1,
  above: 0,
  threshold: MAGNITUDE,
  ties: 0,
})

/** First pass: counts the upper bits of the magnitudes in a region of `values` `[rows, columns]`. */
export const countCoarse = (self: Selection, values: Float32Array, columns: number, region: Region): void => {
  const bits = patterns(values)
  for (let row = region.top; row < region.bottom; row++) {
    const end = row * columns + region.right
    for (let i = row * columns + region.left; i < end; i++) {
      const upper = (known(bits[i]) & MAGNITUDE) >>> LOW_BITS
      self.coarse[upper] = known(self.coarse[upper]) + 1
    }
  }
}

/** Ends the first pass: finds the bin that holds the k-th largest magnitude. */
export const closeCoarse = (self: Selection): void => {
  if (self.keep === 0) return
  const found = descend(self.coarse, self.keep)
  self.bin = found.bin
  self.above = found.above
}

/** Second pass: counts the lower bits of the magnitudes that fall into the bin. */
export const countFine = (self: Selection, values: Float32Array, columns: number, region: Region): void => {
  if (self.keep === 0) return
  const bits = patterns(values)
  for (let row = region.top; row < region.bottom; row++) {
    const end = row * columns + region.right
    for (let i = row * columns + region.left; i < end; i++) {
      const pattern = known(bits[i]) & MAGNITUDE
      if (pattern >>> LOW_BITS !== self.bin) continue
      const lower = pattern & LOW_MASK
      self.fine[lower] = known(self.fine[lower]) + 1
    }
  }
}

/** Ends the second pass: the threshold is exact, and so is the number of ties to keep. */
export const closeFine = (self: Selection): void => {
  if (self.keep === 0) return
  const found = descend(self.fine, self.keep - self.above)
  self.threshold = ((self.bin << LOW_BITS) | found.bin) >>> 0
  self.ties = self.keep - self.above - found.above
}

/**
 * Third pass: sets a bit in `mask` `[rows, ceil(columns / 8)]` for each value that is kept. Regions must come in the
 * order that defines the index of a value.
 */
export const mark = (
  self: Selection,
  mask: Uint8Array,
  values: Float32Array,
  columns: number,
  region: Region,
): void => {
  if (self.keep === 0) return
  const bits = patterns(values)
  const stride = Math.ceil(columns / 8)
  for (let row = region.top; row < region.bottom; row++) {
    for (let column = region.left; column < region.right; column++) {
      const pattern = known(bits[row * columns + column]) & MAGNITUDE
      if (pattern < self.threshold) continue
      if (pattern === self.threshold) {
        if (self.ties === 0) continue
        self.ties -= 1
      }
      const at = row * stride + (column >> 3)
      mask[at] = known(mask[at]) | (1 << (column & 7))
    }
  }
}

const patterns = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length)

/** The highest bin at which the counts summed from above reach `keep`, and the sum above it. */
const descend = (counts: Uint32Array, keep: number): { readonly bin: number; readonly above: number } => {
  let above = 0
  for (let bin = counts.length - 1; bin > 0; bin--) {
    if (above + known(counts[bin]) >= keep) return { bin, above }
    above += known(counts[bin])
  }
  return { bin: 0, above }
}
