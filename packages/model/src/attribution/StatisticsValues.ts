/**
 * What values statistics of weights can have: finite, none below 0 but those between two channels, and these the same both
 * ways. Anything else was not measured on data, and equations would be solved with it all the same.
 */
import { atOr, known } from "@hila/core/Lookup"

/** Covariances, where they are more than diagonals. */
const covariance = /\.(?:input|outputGradient|headInput)$/

/** The largest asymmetry by rounding, in units of the two channels' own values: a step of BF16, in which some collect. */
const rounding = 2 ** -7
/** Channels that are all but silent have their values rounded with the others'. */
const silent = 1e-6

const TILE = 64

/** Where an element of a tensor lies, by its index. */
export const position = (index: number, shape: ReadonlyArray<number>): string => {
  const places: Array<number> = []
  let rest = index
  for (const extent of shape.toReversed()) {
    places.unshift(rest % extent)
    rest = Math.floor(rest / extent)
  }
  return `[${places.join(", ")}]`
}

/** A statistic by its name and shape. */
export interface Named {
  readonly name: string
  readonly shape: ReadonlyArray<number>
}

/** What is wrong with the values `[...shape]` of a statistic, as what was expected and got; undefined where nothing is. */
export const problemOf = (
  { name, shape }: Named,
  values: Float32Array,
): { readonly expected: string; readonly got: string } | undefined => {
  const size = atOr(shape, shape.length - 1, 1)
  const isCovariance = covariance.test(name) && shape.length > 1
  for (let i = 0; i < values.length; i++) {
    const value = known(values[i])
    const free = isCovariance && Math.floor(i / size) % size !== i % size
    if (value >= (free ? -Infinity : 0) && value < Infinity && value > -Infinity) continue
    const expected = Number.isFinite(value) ? "no number below 0" : "finite numbers"
    return { expected, got: `${value} at ${position(i, shape)}` }
  }
  if (!isCovariance) return undefined
  for (let start = 0; start < values.length; start += size * size) {
    const found = asymmetry(values.subarray(start, start + size * size), size)
    if (found === undefined) continue
    const [row, column] = found
    const at = (i: number, j: number) => {
      const index = start + i * size + j
      return `${known(values[index])} at ${position(index, shape)}`
    }
    return {
      expected: "a symmetric matrix",
      got: `${at(row, column)} and ${at(column, row)}`,
    }
  }
  return undefined
}

/** The first pair of places of `[size, size]` that differ by more than rounding. Goes by tiles, which the caches hold. */
const asymmetry = (
  values: Float32Array,
  size: number,
): readonly [row: number, column: number] | undefined => {
  const roots = Float64Array.from({ length: size }, (_, i) => Math.sqrt(known(values[i * size + i])))
  const floor = (silent * roots.reduce((sum, root) => sum + root ** 2, 0)) / size
  for (let top = 0; top < size; top += TILE) {
    for (let left = 0; left <= top; left += TILE) {
      const [bottom, right] = [Math.min(top + TILE, size), Math.min(left + TILE, size)]
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) {
          const [a, b] = [known(values[i * size + j]), known(values[j * size + i])]
          if (Math.abs(a - b) > rounding * (known(roots[i]) * known(roots[j]) + floor)) return [i, j]
        }
      }
    }
  }
  return undefined
}
