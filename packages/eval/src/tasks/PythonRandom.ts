/**
 * Python's `random.Random`: the Mersenne Twister MT19937 (Matsumoto & Nishimura, 1998) seeded by an integer, and the
 * draws that few-shot samplers and bootstraps take from it. The same seed gives the numbers Python gives.
 */
import { known } from "@hila/core/Lookup"

const size = 624
const middle = 397

export interface PythonRandom {
  /** An integer of `bits` random bits, 1…32. */
  readonly bits: (bits: number) => number
  /** A number in [0, 1) of 53 random bits. */
  readonly random: () => number
  /** `k` different elements in random order. */
  readonly sample: <A>(population: ReadonlyArray<A>, k: number) => ReadonlyArray<A>
}

const seeded = (seed: number): Uint32Array => {
  const state = new Uint32Array(size)
  state[0] = 19650218
  for (let i = 1; i < size; i++) {
    const before = known(state[i - 1])
    state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i
  }
  // The seed as 32-bit digits, lowest first.
  const digits: Array<number> = []
  for (let rest = BigInt(Math.abs(seed)); rest > 0n || digits.length === 0; rest >>= 32n) {
    digits.push(Number(rest & 0xffff_ffffn))
  }
  let i = 1
  let j = 0
  const step = (factor: number, add: number) => {
    const before = known(state[i - 1])
    state[i] = (known(state[i]) ^ Math.imul(before ^ (before >>> 30), factor)) + add
    if (++i < size) return
    state[0] = known(state[size - 1])
    i = 1
  }
  for (let k = Math.max(size, digits.length); k > 0; k--) {
    step(1664525, known(digits[j]) + j)
    if (++j >= digits.length) j = 0
  }
  for (let k = size - 1; k > 0; k--) step(1566083941, -i)
  state[0] = 0x8000_0000
  return state
}

/** A generator in the state of `random.Random(seed)`; the seed is an integer of at most 53 bits. */
export const make = (seed: number): PythonRandom => {
  const state = seeded(seed)
  let at = size
  const twist = () => {
    for (let k = 0; k < size; k++) {
      const next = known(state[(k + 1) % size])
      const joined = (known(state[k]) & 0x8000_0000) | (next & 0x7fff_ffff)
      state[k] = known(state[(k + middle) % size]) ^ (joined >>> 1) ^ (next & 1 ? 0x9908_b0df : 0)
    }
    at = 0
  }
  const word = (): number => {
    if (at >= size) twist()
    let y = known(state[at++])
    y ^= y >>> 11
    y ^= (y << 7) & 0x9d2c_5680
    y ^= (y << 15) & 0xefc6_0000
    return (y ^ (y >>> 18)) >>> 0
  }
  const bits = (count: number) => word() >>> (32 - count)
  /** An integer in [0, bound), by rejection. */
  const below = (bound: number): number => {
    const count = 32 - Math.clz32(bound)
    for (;;) {
      const drawn = bits(count)
      if (drawn < bound) return drawn
    }
  }
  return {
    bits,
    random: () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992,
    sample: (population, k) => {
      const n = population.length
      // Small populations are shuffled in part, large ones drawn with a memory of what was taken.
      const bound = 21 + (k > 5 ? 4 ** Math.ceil(Math.log(k * 3) / Math.log(4)) : 0)
      if (n <= bound) {
        const pool = [...population]
        return Array.from({ length: k }, (_, i) => {
          const j = below(n - i)
          const [taken] = pool.splice(j, 1, ...pool.slice(n - i - 1, n - i))
          return taken as (typeof population)[number]
        })
      }
      const taken = new Set<number>()
      while (taken.size < k) taken.add(below(n))
      return [...taken].flatMap((index) => population.slice(index, index + 1))
    },
  }
}
