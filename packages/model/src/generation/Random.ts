/**
 * Random numbers by counter: the n-th number of a sequence is a hash of who asks and of n, and of nothing else.
 *
 * What a prompt draws therefore depends on the seed, on the prompt and on which of its samples it is, never on the other
 * prompts of the batch, on their order or on threads. Good for sampling, no good for secrets.
 */

/** A sequence of numbers. */
export interface Key {
  readonly high: number
  readonly low: number
}

/** Bits of x moved up by `count` within 32, those that leave entering below. */
const rotate = (x: number, count: number): number => (x << count) | (x >>> (32 - count))

/** One round of MurmurHash3 (Appleby, 2011), x86 32-bit. */
const absorb = (hash: number, word: number): number => {
  const mixed = Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593)
  return (Math.imul(rotate(hash ^ mixed, 13), 5) + 0xe6546b64) | 0
}

/** Its finaliser, after which each bit depends on all. */
const finish = (hash: number): number => {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** The sequence of a prompt's sample under a seed; all are integers ≥ 0. */
export const key = (seed: number, prompt: ReadonlyArray<number>, sample: number): Key => {
  const words = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, sample, prompt.length, ...prompt]
  return {
    high: finish(words.reduce(absorb, 0x9e3779b9)),
    low: finish(words.reduce(absorb, 0x7f4a7c15)),
  }
}

/** The number at `index` ≥ 0 of a sequence: uniform in [0, 1), a multiple of 2⁻⁵³. */
export const uniform = ({ high, low }: Key, index: number): number => {
  const a = finish(absorb(absorb(high, index), low))
  const b = finish(absorb(absorb(low, index), high))
  return ((a >>> 5) * 2 ** 26 + (b >>> 6)) / 2 ** 53
}
