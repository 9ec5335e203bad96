/**
 * Seeded random numbers for shuffling, initial weights and dropout: the same seed gives the same numbers everywhere.
 */
import { known } from "@hila/core/Lookup"

export interface Random {
  /** Uniform in [0, 1), of 32 bits. */
  readonly next: () => number
  /** Normal with mean 0 and deviation 1 (Box & Muller, 1958). */
  readonly normal: () => number
  /** The numbers 0…n − 1 in random order (Fisher & Yates). */
  readonly order: (n: number) => Array<number>
}

/** A 32-bit hash of a text (FNV-1a), to derive seeds of parts from the seed of the whole. */
export const seedOf = (...parts: ReadonlyArray<string | number>): number => {
  let hash = 0x811c9dc5
  for (const character of parts.join("\u0000")) {
    hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
  }
  return hash >>> 0
}

/** A generator: mulberry32, a counter behind a 32-bit mixing function. */
export const make = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    next,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    order: (n) => {
      const order = Array.from({ length: n }, (_, i) => i)
      for (let i = n - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1))
        ;[order[i], order[j]] = [known(order[j]), known(order[i])]
      }
      return order
    },
  }
}
