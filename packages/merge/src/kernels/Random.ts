/**
 * Counter-based random numbers: each is a function of (seed, model, tensor, element) and of nothing else.
 *
 * So the order of work, threads and shards do not matter, and a further tensor changes no other. `mix` is the finalizer
 * "lowbias32" (Wellons 2018: xor-shift 16, · 0x7feb352d, xor-shift 15, · 0x846ca68b, xor-shift 16), a bijection with a
 * bias of 0.17 % against the strict avalanche criterion. A stream has a 32-bit key; element `i` of it is `mix` of the
 * lower half of `i` plus `k`, with `l` added before the second multiplication, where `k = mix(key ^ upper half of i)`
 * and `l = mix(k ^ 0x9e3779b9)`: without `l`, two streams would be one sequence at two offsets. Of each number the
 * upper 24 bits are used, as n / 2^24 in f32.
 */

/** Mixes 32 bits: a bijection in which every input bit changes every output bit with probability near one half. */
export const mix = (x: number): number => {
  let y = x ^ (x >>> 16)
  y = Math.imul(y, 0x7feb352d)
  y ^= y >>> 15
  y = Math.imul(y, 0x846ca68b)
  return (y ^ (y >>> 16)) >>> 0
}

/** The key of the stream of one model and tensor; `seed` is an integer, of which 53 bits count. */
export const key = (seed: number, model: number, tensor: string): number => {
  let hash = mix(seed | 0)
  hash = mix(hash ^ mix(Math.floor(seed / 2 ** 32) | 0))
  hash = mix(hash ^ (model + 0x9e3779b9))
  for (let i = 0; i < tensor.length; i++) hash = mix((hash + tensor.charCodeAt(i)) | 0)
  return mix(hash ^ tensor.length)
}

/** What the elements of a stream with the same upper half of the index have in common: `k` and `l`. */
export const lanes = (key: number, high: number): readonly [k: number, l: number] => {
  const k = mix(key ^ high)
  return [k, mix(k ^ 0x9e3779b9)]
}

/** The 24 random bits of an element whose index has the lower half `low`. */
export const bits24 = (k: number, l: number, low: number): number => {
  let y = (low + k) | 0
  y ^= y >>> 16
  y = Math.imul(y, 0x7feb352d)
  y ^= y >>> 15
  y = Math.imul((y + l) | 0, 0x846ca68b)
  return (y ^ (y >>> 16)) >>> 8
}

/** Elements from `start` in runs whose indices have one upper half: places `first…` of the run, lower halves `low…`. */
export const runs = (start: number, length: number) => {
  const found: Array<{ first: number; length: number; high: number; low: number }> = []
  for (let first = 0; first < length;) {
    const high = Math.floor((start + first) / 2 ** 32)
    const low = start + first - high * 2 ** 32
    const part = Math.min(length - first, 2 ** 32 - low)
    found.push({ first, length: part, high, low })
    first += part
  }
  return found
}
