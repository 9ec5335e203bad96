// The kernels of src/kernels/Kernels.ts in AssemblyScript with SIMD; src/kernels/Reference.ts says what each means.
//
// Pointers are bytes into a shared memory that the caller lays out; there is no allocation and no static data. Counts
// `n` are elements. Every f32 operation is rounded on its own; nothing here may be reordered by the compiler.

const MAGNITUDE: i32 = 0x7fffffff

// Elementwise ---------------------------------------------------------------------------------------------------------

export function subtract(out: usize, a: usize, b: usize, n: i32): void {
  const end = out + (<usize>n << 2)
  const fast = out + (<usize>(n & ~3) << 2)
  while (out < fast) {
    v128.store(out, f32x4.sub(v128.load(a), v128.load(b)))
    out += 16; a += 16; b += 16
  }
  while (out < end) {
    store<f32>(out, load<f32>(a) - load<f32>(b))
    out += 4; a += 4; b += 4
  }
}

export function multiply(out: usize, a: usize, b: usize, n: i32): void {
  const end = out + (<usize>n << 2)
  const fast = out + (<usize>(n & ~3) << 2)
  while (out < fast) {
    v128.store(out, f32x4.mul(v128.load(a), v128.load(b)))
    out += 16; a += 16; b += 16
  }
  while (out < end) {
    store<f32>(out, load<f32>(a) * load<f32>(b))
    out += 4; a += 4; b += 4
  }
}

export function scale(p: usize, n: i32, factor: f32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const f = f32x4.splat(factor)
  while (p < fast) { v128.store(p, f32x4.mul(f, v128.load(p))); p += 16 }
  while (p < end) { store<f32>(p, factor * load<f32>(p)); p += 4 }
}

export function affine(p: usize, n: i32, factor: f32, offset: f32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const f = f32x4.splat(factor)
  const o = f32x4.splat(offset)
  while (p < fast) { v128.store(p, f32x4.add(f32x4.mul(f, v128.load(p)), o)); p += 16 }
  while (p < end) { store<f32>(p, factor * load<f32>(p) + offset); p += 4 }
}

export function divide(p: usize, n: i32, divisor: f32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const d = f32x4.splat(divisor)
  while (p < fast) { v128.store(p, f32x4.div(v128.load(p), d)); p += 16 }
  while (p < end) { store<f32>(p, load<f32>(p) / divisor); p += 4 }
}

export function addScaled(sum: usize, values: usize, n: i32, weight: f32): void {
  const end = sum + (<usize>n << 2)
  const fast = sum + (<usize>(n & ~3) << 2)
  const w = f32x4.splat(weight)
  while (sum < fast) {
    v128.store(sum, f32x4.add(v128.load(sum), f32x4.mul(w, v128.load(values))))
    sum += 16; values += 16
  }
  while (sum < end) {
    store<f32>(sum, load<f32>(sum) + weight * load<f32>(values))
    sum += 4; values += 4
  }
}

export function addSquaredDifference(sum: usize, a: usize, b: usize, n: i32): void {
  const end = sum + (<usize>n << 2)
  const fast = sum + (<usize>(n & ~3) << 2)
  while (sum < fast) {
    const d = f32x4.sub(v128.load(a), v128.load(b))
    v128.store(sum, f32x4.add(v128.load(sum), f32x4.mul(d, d)))
    sum += 16; a += 16; b += 16
  }
  while (sum < end) {
    const d = load<f32>(a) - load<f32>(b)
    store<f32>(sum, load<f32>(sum) + d * d)
    sum += 4; a += 4; b += 4
  }
}

export function applyTo(sum: usize, base: usize, n: i32, lambda: f32): void {
  const end = sum + (<usize>n << 2)
  const fast = sum + (<usize>(n & ~3) << 2)
  const l = f32x4.splat(lambda)
  const zero = f32x4.splat(0)
  while (sum < fast) {
    const step = f32x4.mul(l, v128.load(sum))
    const origin = v128.load(base)
    v128.store(sum, v128.bitselect(origin, f32x4.add(origin, step), f32x4.eq(step, zero)))
    sum += 16; base += 16
  }
  while (sum < end) {
    const step = lambda * load<f32>(sum)
    const origin = load<f32>(base)
    store<f32>(sum, step == 0 ? origin : origin + step)
    sum += 4; base += 4
  }
}

// Reductions ----------------------------------------------------------------------------------------------------------

export function sumAbs(p: usize, n: i32): f64 {
  const fast = p + (<usize>(n & ~3) << 2)
  let low = f64x2.splat(0)
  let high = f64x2.splat(0)
  while (p < fast) {
    const v = f32x4.abs(v128.load(p))
    low = f64x2.add(low, f64x2.promote_low_f32x4(v))
    high = f64x2.add(high, f64x2.promote_low_f32x4(i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)))
    p += 16
  }
  let s0 = f64x2.extract_lane(low, 0)
  let s1 = f64x2.extract_lane(low, 1)
  let s2 = f64x2.extract_lane(high, 0)
  const rest = n & 3
  if (rest > 0) s0 += abs<f64>(<f64>load<f32>(p))
  if (rest > 1) s1 += abs<f64>(<f64>load<f32>(p + 4))
  if (rest > 2) s2 += abs<f64>(<f64>load<f32>(p + 8))
  return s0 + s1 + (s2 + f64x2.extract_lane(high, 1))
}

export function dot(a: usize, b: usize, n: i32): f64 {
  const fast = a + (<usize>(n & ~3) << 2)
  let low = f64x2.splat(0)
  let high = f64x2.splat(0)
  while (a < fast) {
    const x = v128.load(a)
    const y = v128.load(b)
    low = f64x2.add(low, f64x2.mul(f64x2.promote_low_f32x4(x), f64x2.promote_low_f32x4(y)))
    const xh = i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
    const yh = i8x16.shuffle(y, y, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
    high = f64x2.add(high, f64x2.mul(f64x2.promote_low_f32x4(xh), f64x2.promote_low_f32x4(yh)))
    a += 16; b += 16
  }
  let s0 = f64x2.extract_lane(low, 0)
  let s1 = f64x2.extract_lane(low, 1)
  let s2 = f64x2.extract_lane(high, 0)
  const rest = n & 3
  if (rest > 0) s0 += <f64>load<f32>(a) * <f64>load<f32>(b)
  if (rest > 1) s1 += <f64>load<f32>(a + 4) * <f64>load<f32>(b + 4)
  if (rest > 2) s2 += <f64>load<f32>(a + 8) * <f64>load<f32>(b + 8)
  return s0 + s1 + (s2 + f64x2.extract_lane(high, 1))
}

export function countNonzero(p: usize, n: i32): i32 {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const zero = f32x4.splat(0)
  let lanes = i32x4.splat(0) // minus the counts
  while (p < fast) { lanes = i32x4.add(lanes, f32x4.ne(v128.load(p), zero)); p += 16 }
  let count = -(i32x4.extract_lane(lanes, 0) + i32x4.extract_lane(lanes, 1) + i32x4.extract_lane(lanes, 2) + i32x4.extract_lane(lanes, 3))
  while (p < end) { if (load<f32>(p) != 0) count++; p += 4 }
  return count
}

export function firstOutside(p: usize, n: i32, limit: f32): i32 {
  const begin = p
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const most = f32x4.splat(limit)
  while (p < fast) {
    if (!i32x4.all_true(f32x4.lt(f32x4.abs(v128.load(p)), most))) break
    p += 16
  }
  while (p < end) {
    if (!(abs<f32>(load<f32>(p)) < limit)) return <i32>((p - begin) >> 2)
    p += 4
  }
  return -1
}

// Selection -----------------------------------------------------------------------------------------------------------

// Adds one where `counts` counts the upper 16 of the 31 bits.
// @ts-ignore: decorator
@inline
function bump(counts: usize, upper: i32): void {
  const at = counts + (<usize>upper << 2)
  store<i32>(at, load<i32>(at) + 1)
}

export function countHigh(counts: usize, p: usize, n: i32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const mask = i32x4.splat(MAGNITUDE)
  while (p < fast) {
    const upper = i32x4.shr_u(v128.and(v128.load(p), mask), 15)
    bump(counts, i32x4.extract_lane(upper, 0))
    bump(counts, i32x4.extract_lane(upper, 1))
    bump(counts, i32x4.extract_lane(upper, 2))
    bump(counts, i32x4.extract_lane(upper, 3))
    p += 16
  }
  while (p < end) { bump(counts, (load<i32>(p) & MAGNITUDE) >>> 15); p += 4 }
}

export function countLow(counts: usize, p: usize, n: i32, bin: i32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const mask = i32x4.splat(MAGNITUDE)
  const wanted = i32x4.splat(bin)
  while (p < fast) {
    const pattern = v128.and(v128.load(p), mask)
    const found = i32x4.bitmask(i32x4.eq(i32x4.shr_u(pattern, 15), wanted))
    if (found != 0) {
      if ((found & 1) != 0) bump(counts, i32x4.extract_lane(pattern, 0) & 0x7fff)
      if ((found & 2) != 0) bump(counts, i32x4.extract_lane(pattern, 1) & 0x7fff)
      if ((found & 4) != 0) bump(counts, i32x4.extract_lane(pattern, 2) & 0x7fff)
      if ((found & 8) != 0) bump(counts, i32x4.extract_lane(pattern, 3) & 0x7fff)
    }
    p += 16
  }
  while (p < end) {
    const pattern = load<i32>(p) & MAGNITUDE
    if (pattern >>> 15 == bin) bump(counts, pattern & 0x7fff)
    p += 4
  }
}

// Zeroes what is not on top (`flip` 0) or what is on top (`flip` −1); gives how many ties went to the top.
// @ts-ignore: decorator
@inline
function select(p: usize, n: i32, threshold: i32, ties: i32, flip: i32): i32 {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const mask = i32x4.splat(MAGNITUDE)
  const limit = i32x4.splat(threshold)
  const other = i32x4.splat(flip)
  let left = ties
  while (p < end) {
    while (p < fast) {
      const v = v128.load(p)
      const pattern = v128.and(v, mask)
      let top = i32x4.gt_s(pattern, limit)
      const equal = i32x4.eq(pattern, limit)
      if (v128.any_true(equal)) {
        const count = popcnt(i32x4.bitmask(equal))
        if (count <= left) {
          top = v128.or(top, equal)
          left -= count
        } else if (left > 0) break // some of these four, in order
      }
      v128.store(p, v128.and(v, v128.xor(top, other)))
      p += 16
    }
    // One by one: the four among which the ties end, or the rest.
    const stop = p < fast ? p + 16 : end
    while (p < stop) {
      const bits = load<i32>(p)
      const pattern = bits & MAGNITUDE
      let top = pattern > threshold
      if (pattern == threshold && left > 0) { top = true; left-- }
      if (top == (flip != 0)) store<i32>(p, 0)
      p += 4
    }
  }
  return ties - left
}

export function keepLargest(p: usize, n: i32, threshold: i32, ties: i32): i32 {
  return select(p, n, threshold, ties, 0)
}

export function dropLargest(p: usize, n: i32, threshold: i32, ties: i32): i32 {
  return select(p, n, threshold, ties, -1)
}

export function keepWhere(p: usize, kept: usize, n: i32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const zero = f32x4.splat(0)
  while (p < fast) {
    v128.store(p, v128.and(v128.load(p), f32x4.ne(v128.load(kept), zero)))
    p += 16; kept += 16
  }
  while (p < end) {
    if (load<f32>(kept) == 0) store<f32>(p, 0)
    p += 4; kept += 4
  }
}

// Gathers the counts that are not 0 and their places into (place, count) pairs at `out`; gives how many.
export function gather(out: usize, counts: usize, n: i32): i32 {
  let found = 0
  for (let i = 0; i < n; i += 4) {
    const four = v128.load(counts + (<usize>i << 2))
    if (!v128.any_true(four)) continue
    for (let j = i; j < min(i + 4, n); j++) {
      const count = load<i32>(counts + (<usize>j << 2))
      if (count == 0) continue
      store<i32>(out + (<usize>found << 3), j)
      store<i32>(out + (<usize>found << 3), count, 4)
      found++
    }
  }
  return found
}

export function clear(p: usize, bytes: i32): void {
  memory.fill(p, 0, bytes)
}

// Sign election -------------------------------------------------------------------------------------------------------

export function addAgreeing(sum: usize, divisor: usize, values: usize, votes: usize, n: i32, factor: f32, weight: f32): void {
  const end = sum + (<usize>n << 2)
  const fast = sum + (<usize>(n & ~3) << 2)
  const f = f32x4.splat(factor)
  const w = f32x4.splat(weight)
  const zero = f32x4.splat(0)
  while (sum < fast) {
    const v = v128.load(values)
    const positive = f32x4.ge(v128.load(votes), zero)
    const agree = v128.bitselect(f32x4.gt(v, zero), f32x4.lt(v, zero), positive)
    const s = v128.load(sum)
    v128.store(sum, v128.bitselect(f32x4.add(s, f32x4.mul(f, v)), s, agree))
    const d = v128.load(divisor)
    v128.store(divisor, v128.bitselect(f32x4.add(d, w), d, agree))
    sum += 16; divisor += 16; values += 16; votes += 16
  }
  while (sum < end) {
    const v = load<f32>(values)
    if (load<f32>(votes) >= 0 ? v > 0 : v < 0) {
      store<f32>(sum, load<f32>(sum) + factor * v)
      store<f32>(divisor, load<f32>(divisor) + weight)
    }
    sum += 4; divisor += 4; values += 4; votes += 4
  }
}

export function divideNonzero(p: usize, divisors: usize, n: i32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const zero = f32x4.splat(0)
  while (p < fast) {
    const v = v128.load(p)
    const d = v128.load(divisors)
    v128.store(p, v128.bitselect(v, f32x4.div(v, d), f32x4.eq(d, zero)))
    p += 16; divisors += 16
  }
  while (p < end) {
    const d = load<f32>(divisors)
    if (d != 0) store<f32>(p, load<f32>(p) / d)
    p += 4; divisors += 4
  }
}

export function divideFloored(p: usize, divisors: usize, n: i32, floor: f32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  const f = f32x4.splat(floor)
  while (p < fast) {
    const d = v128.load(divisors)
    v128.store(p, f32x4.div(v128.load(p), v128.bitselect(d, f, f32x4.gt(d, f))))
    p += 16; divisors += 16
  }
  while (p < end) {
    const d = load<f32>(divisors)
    store<f32>(p, load<f32>(p) / (d > floor ? d : floor))
    p += 4; divisors += 4
  }
}

// Random --------------------------------------------------------------------------------------------------------------

// The 24 random bits of one element: `Random.bits24`.
// @ts-ignore: decorator
@inline
function bits24(k: i32, l: i32, low: i32): i32 {
  let y = low + k
  y ^= y >>> 16
  y *= 0x7feb352d
  y ^= y >>> 15
  y = (y + l) * <i32>0x846ca68b
  return (y ^ (y >>> 16)) >>> 8
}

// @ts-ignore: decorator
@inline
function bits24x4(l: v128, start: v128): v128 {
  let y = v128.xor(start, i32x4.shr_u(start, 16))
  y = i32x4.mul(y, i32x4.splat(0x7feb352d))
  y = v128.xor(y, i32x4.shr_u(y, 15))
  y = i32x4.mul(i32x4.add(y, l), i32x4.splat(<i32>0x846ca68b))
  return i32x4.shr_u(v128.xor(y, i32x4.shr_u(y, 16)), 8)
}

export function keepRandom(p: usize, n: i32, k: i32, l: i32, low: i32, least: i32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  let counter = i32x4.add(i32x4.splat(low + k), i32x4(0, 1, 2, 3))
  const four = i32x4.splat(4)
  const add = i32x4.splat(l)
  const limit = i32x4.splat(least)
  while (p < fast) {
    v128.store(p, v128.and(v128.load(p), i32x4.lt_s(bits24x4(add, counter), limit)))
    counter = i32x4.add(counter, four)
    p += 16
  }
  low += n & ~3
  while (p < end) {
    if (!(bits24(k, l, low) < least)) store<f32>(p, 0)
    low++
    p += 4
  }
}

export function keepRandomEach(p: usize, probabilities: usize, n: i32, k: i32, l: i32, low: i32): void {
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~3) << 2)
  let counter = i32x4.add(i32x4.splat(low + k), i32x4(0, 1, 2, 3))
  const four = i32x4.splat(4)
  const add = i32x4.splat(l)
  const unit = f32x4.splat(16777216)
  while (p < fast) {
    const drawn = f32x4.convert_i32x4_s(bits24x4(add, counter))
    v128.store(p, v128.and(v128.load(p), f32x4.lt(drawn, f32x4.mul(v128.load(probabilities), unit))))
    counter = i32x4.add(counter, four)
    p += 16; probabilities += 16
  }
  low += n & ~3
  while (p < end) {
    if (!(<f32>bits24(k, l, low) < load<f32>(probabilities) * <f32>16777216)) store<f32>(p, 0)
    low++
    p += 4; probabilities += 4
  }
}

// Ranks ---------------------------------------------------------------------------------------------------------------
//
// A row is spread over 2^11 buckets by the upper bits of the magnitudes: one bucket for zeros, one for what is about 2^8
// times smaller than the largest or less, the others in steps of 1/256 octave. Inside a bucket few are out of order, so
// insertion puts them right; a row with too many small ones is sorted by radix instead. Entries are (magnitude, index),
// so equal magnitudes stay in order of index.

const BUCKETS: i32 = 2048
const SHIFT: i32 = 15
const FEW: i32 = 64

// Turns counts into where each begins.
// @ts-ignore: decorator
@inline
function place(counts: usize, last: i32): void {
  let total = 0
  for (const end = counts + (<usize>last << 2); counts <= end; counts += 4) {
    const count = load<i32>(counts)
    store<i32>(counts, total)
    total += count
  }
}

// The largest magnitude.
// @ts-ignore: decorator
@inline
function largest(p: usize, n: i32): i32 {
  const mask = i32x4.splat(MAGNITUDE)
  const fast = p + (<usize>(n & ~3) << 2)
  const end = p + (<usize>n << 2)
  let most = i32x4.splat(0)
  while (p < fast) { most = i32x4.max_s(most, v128.and(v128.load(p), mask)); p += 16 }
  let found = max(max(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1)), max(i32x4.extract_lane(most, 2), i32x4.extract_lane(most, 3)))
  while (p < end) { found = max(found, load<i32>(p) & MAGNITUDE); p += 4 }
  return found
}

// Sorts a row into `scratch`; false where radix has to do it.
function spread(p: usize, n: i32, scratch: usize, counts: usize): bool {
  // The last bucket holds the largest magnitude; `least` may be negative.
  const least = ((largest(p, n) >>> SHIFT) - BUCKETS + 1) << SHIFT
  memory.fill(counts, 0, BUCKETS << 2)
  const end = p + (<usize>n << 2)
  for (let at = p; at < end; at += 4) {
    const pattern = load<i32>(at) & MAGNITUDE
    const bucket = pattern == 0 ? 0 : max((pattern - least) >> SHIFT, 1)
    const counter = counts + (<usize>bucket << 2)
    store<i32>(counter, load<i32>(counter) + 1)
  }
  if (load<i32>(counts, 4) > FEW) return false
  place(counts, BUCKETS - 1)
  for (let at = p, i = 0; at < end; at += 4, i++) {
    const pattern = load<i32>(at) & MAGNITUDE
    const bucket = pattern == 0 ? 0 : max((pattern - least) >> SHIFT, 1)
    const counter = counts + (<usize>bucket << 2)
    const position = load<i32>(counter)
    store<i32>(counter, position + 1)
    store<u64>(scratch + (<usize>position << 3), (<u64>pattern << 32) | <u64>i)
  }
  // Insertion: an entry moves down past larger ones, which are in its own bucket.
  let before = load<u64>(scratch)
  for (let at = scratch + 8, stop = scratch + (<usize>n << 3); at < stop; at += 8) {
    const entry = load<u64>(at)
    if (before <= entry) { before = entry; continue }
    let to = at
    while (to > scratch && load<u64>(to - 8) > entry) { store<u64>(to, load<u64>(to - 8)); to -= 8 }
    store<u64>(to, entry)
  }
  return true
}

// Sorts a row by 11 + 11 + 9 bits and gives where the result lies.
function radix(p: usize, n: i32, scratch: usize, counts: usize): usize {
  memory.fill(counts, 0, 24576)
  let from = scratch
  let to = scratch + (<usize>n << 3)
  for (let i = 0; i < n; i++) {
    const pattern = load<i32>(p + (<usize>i << 2)) & MAGNITUDE
    store<u64>(from + (<usize>i << 3), (<u64>pattern << 32) | <u64>i)
    bump(counts, pattern & 0x7ff)
    bump(counts + 8192, (pattern >>> 11) & 0x7ff)
    bump(counts + 16384, pattern >>> 22)
  }
  for (let digit = 0; digit < 3; digit++) {
    const begins = counts + (<usize>digit << 13)
    const shift = <u64>(32 + 11 * digit)
    place(begins, BUCKETS - 1)
    for (let at = from, end = from + (<usize>n << 3); at < end; at += 8) {
      const entry = load<u64>(at)
      const counter = begins + ((<usize>(entry >> shift) & 0x7ff) << 2)
      const position = load<u32>(counter)
      store<u32>(counter, position + 1)
      store<u64>(to + (<usize>position << 3), entry)
    }
    const swapped = from
    from = to
    to = swapped
  }
  return from
}

export function rankRows(out: usize, p: usize, n: i32, columns: i32, scratch: usize): void {
  const counts = scratch + (<usize>columns << 4)
  const end = p + (<usize>n << 2)
  const width = <usize>columns << 2
  for (; p < end; p += width, out += width) {
    const sorted = spread(p, columns, scratch, counts) ? scratch : radix(p, columns, scratch, counts)
    for (let rank = 0; rank < columns; rank++) {
      store<f32>(out + (<usize>load<u32>(sorted + (<usize>rank << 3)) << 2), <f32>rank)
    }
  }
}

// Random by rank ------------------------------------------------------------------------------------------------------
//
// What `rankRows`, `affine` and `keepRandomEach` do together, without sorting. Magnitudes are counted in ranges of 1/64
// octave, in long rows of 1/256, so the ranks of a range are known up to their order inside it, and with them the least and the greatest
// probability there; few draws lie between the two. Only for these the exact rank is found, by counting.

const MOST_RANGES: i32 = 2048
const LONG: i32 = 4096
const MOST_SCANS: i32 = 48

// The draws below which the element of a rank is kept.
// @ts-ignore: decorator
@inline
function limitOf(rank: i32, factor: f32, offset: f32): f32 {
  return (factor * <f32>rank + offset) * <f32>16777216
}

// How many of `values[from … to)`, which are not negative, are less than `value` or, with `equal`, not more than it.
function countBelow(values: usize, from: i32, to: i32, value: i32, equal: i32): i32 {
  let p = values + (<usize>from << 2)
  const end = values + (<usize>to << 2)
  const limit = value + equal
  const limits = i32x4.splat(limit)
  let lanes = i32x4.splat(0)
  let count = 0
  while (p < end && (p & 15) != 0) { count += i32(load<i32>(p) < limit); p += 4 }
  while (p + 16 <= end) { lanes = i32x4.sub(lanes, i32x4.lt_s(v128.load(p), limits)); p += 16 }
  while (p < end) { count += i32(load<i32>(p) < limit); p += 4 }
  return count + i32x4.extract_lane(lanes, 0) + i32x4.extract_lane(lanes, 1) + i32x4.extract_lane(lanes, 2) + i32x4.extract_lane(lanes, 3)
}

function keepRow(p: usize, n: i32, k: i32, l: i32, low: i32, factor: f32, offset: f32, scratch: usize): void {
  const shift = n < LONG ? 17 : 15
  const ranges = MOST_RANGES >> (shift - 15)
  const limits = scratch
  const magnitudes = limits + (<usize>(MOST_RANGES + 4) << 2)
  const undecided = magnitudes + (<usize>n << 2)
  const ranks = undecided + (<usize>n << 2)
  const whole = n & ~3
  const mask = i32x4.splat(MAGNITUDE)
  const zero = i32x4.splat(0)
  const least = ((largest(p, n) >>> shift) - ranges + 1) << shift
  const first = i32x4.splat(least)
  memory.fill(limits, 0, (ranges + 1) << 2)
  for (let i = 0; i < whole; i += 4) {
    const pattern = v128.and(v128.load(p + (<usize>i << 2)), mask)
    v128.store(magnitudes + (<usize>i << 2), pattern)
    const range = i32x4.max_s(i32x4.shr_s(i32x4.sub(pattern, first), shift), zero)
    bump(limits, i32x4.extract_lane(range, 0))
    bump(limits, i32x4.extract_lane(range, 1))
    bump(limits, i32x4.extract_lane(range, 2))
    bump(limits, i32x4.extract_lane(range, 3))
  }
  for (let i = whole; i < n; i++) {
    const pattern = load<i32>(p + (<usize>i << 2)) & MAGNITUDE
    store<i32>(magnitudes + (<usize>i << 2), pattern)
    bump(limits, max((pattern - least) >> shift, 0))
  }
  let total = 0
  for (let at = limits, end = limits + (<usize>ranges << 2); at <= end; at += 4) {
    const count = load<i32>(at)
    store<f32>(at, limitOf(total, factor, offset))
    total += count
  }
  // Where the draw is below both limits of the range the element stays, where it is above both it goes.
  let counter = i32x4.add(i32x4.splat(low + k), i32x4(0, 1, 2, 3))
  const four = i32x4.splat(4)
  const add = i32x4.splat(l)
  let open = 0
  for (let i = 0; i < whole; i += 4) {
    const at = p + (<usize>i << 2)
    const v = v128.load(at)
    const drawn = f32x4.convert_i32x4_s(bits24x4(add, counter))
    counter = i32x4.add(counter, four)
    const pattern = v128.and(v, mask)
    const range = i32x4.shl(i32x4.max_s(i32x4.shr_s(i32x4.sub(pattern, first), shift), zero), 2)
    const a = v128.load64_lane(limits + i32x4.extract_lane(range, 1), v128.load64_zero(limits + i32x4.extract_lane(range, 0)), 1)
    const b = v128.load64_lane(limits + i32x4.extract_lane(range, 3), v128.load64_zero(limits + i32x4.extract_lane(range, 2)), 1)
    const nonzero = i32x4.ne(pattern, zero)
    const stays = f32x4.lt(drawn, v128.shuffle<i32>(a, b, 0, 2, 4, 6))
    const may = v128.and(f32x4.lt(drawn, v128.shuffle<i32>(a, b, 1, 3, 5, 7)), nonzero)
    v128.store(at, v128.and(v, v128.and(v128.or(stays, may), nonzero)))
    for (let between = i32x4.bitmask(v128.andnot(may, stays)); between != 0; between &= between - 1) {
      store<i32>(undecided + (<usize>(open++) << 2), i + ctz(between))
    }
  }
  for (let i = whole; i < n; i++) {
    const at = p + (<usize>i << 2)
    const pattern = load<i32>(magnitudes + (<usize>i << 2))
    const range = limits + (<usize>max((pattern - least) >> shift, 0) << 2)
    const drawn = <f32>bits24(k, l, low + i)
    if (pattern == 0 || !(drawn < load<f32>(range, 4))) store<f32>(at, 0)
    else if (!(drawn < load<f32>(range))) store<i32>(undecided + (<usize>(open++) << 2), i)
  }
  // Equal magnitudes follow one another in rank, so of each magnitude one rank is found and the others from it.
  let scans = 0
  for (let a = 0; a < open; a++) {
    let i = load<i32>(undecided + (<usize>a << 2))
    if (i < 0) continue
    const magnitude = load<i32>(magnitudes + (<usize>i << 2))
    if (scans == MOST_SCANS) rankRows(ranks, magnitudes, n, n, ranks + (<usize>n << 2))
    const sorted = scans >= MOST_SCANS
    let rank = sorted
      ? <i32>load<f32>(ranks + (<usize>i << 2))
      : countBelow(magnitudes, 0, i, magnitude, 1) + countBelow(magnitudes, i + 1, n, magnitude, 0)
    scans++
    for (let b = a; ; ) {
      if (!(<f32>bits24(k, l, low + i) < limitOf(rank, factor, offset))) store<f32>(p + (<usize>i << 2), 0)
      if (sorted) break
      const before = i
      for (b++; b < open; b++) {
        i = load<i32>(undecided + (<usize>b << 2))
        if (i >= 0 && load<i32>(magnitudes + (<usize>i << 2)) == magnitude) break
      }
      if (b == open) break
      store<i32>(undecided + (<usize>b << 2), -1)
      rank += countBelow(magnitudes, before, i, magnitude, 1) - countBelow(magnitudes, before, i, magnitude, 0)
    }
  }
}

export function keepRanked(p: usize, n: i32, columns: i32, k: i32, l: i32, low: i32, factor: f32, offset: f32, scratch: usize): void {
  for (const end = p + (<usize>n << 2); p < end; p += <usize>columns << 2, low += columns) {
    keepRow(p, columns, k, l, low, factor, offset, scratch)
  }
}

// Bits ----------------------------------------------------------------------------------------------------------------

export function packNonzero(bits: usize, p: usize, rows: i32, columns: i32): void {
  const zero = f32x4.splat(0)
  for (let row = 0; row < rows; row++) {
    const end = p + (<usize>columns << 2)
    const fast = p + (<usize>(columns & ~7) << 2)
    while (p < fast) {
      const low = i32x4.bitmask(f32x4.ne(v128.load(p), zero))
      const high = i32x4.bitmask(f32x4.ne(v128.load(p, 16), zero))
      store<u8>(bits++, low | (high << 4))
      p += 32
    }
    if (p < end) {
      let byte = 0
      for (let bit = 0; p < end; bit++, p += 4) if (load<f32>(p) != 0) byte |= 1 << bit
      store<u8>(bits++, byte)
    }
  }
}

export function keepBits(p: usize, bits: usize, rows: i32, columns: i32): void {
  const lowLanes = i32x4(1, 2, 4, 8)
  const highLanes = i32x4(16, 32, 64, 128)
  for (let row = 0; row < rows; row++) {
    const end = p + (<usize>columns << 2)
    const fast = p + (<usize>(columns & ~7) << 2)
    while (p < fast) {
      const byte = i32x4.splat(load<u8>(bits++))
      v128.store(p, v128.and(v128.load(p), i32x4.eq(v128.and(byte, lowLanes), lowLanes)))
      v128.store(p, v128.and(v128.load(p, 16), i32x4.eq(v128.and(byte, highLanes), highLanes)), 16)
      p += 32
    }
    if (p < end) {
      const byte = <i32>load<u8>(bits++)
      for (let bit = 0; p < end; bit++, p += 4) if (((byte >> bit) & 1) == 0) store<f32>(p, 0)
    }
  }
}

// Dtypes --------------------------------------------------------------------------------------------------------------

// Lanes of all ones where a bfloat16 number is not finite.
// @ts-ignore: decorator
@inline
function infinite(halves: v128): v128 {
  const exponent = i16x8.splat(0x7f80)
  return i16x8.eq(v128.and(halves, exponent), exponent)
}

// Gives 1 where all numbers are finite.
export function decodeBf16(out: usize, p: usize, n: i32): i32 {
  const end = p + (<usize>n << 1)
  const fast = p + (<usize>(n & ~7) << 1)
  let bad = i32x4.splat(0)
  while (p < fast) {
    const halves = v128.load(p)
    bad = v128.or(bad, infinite(halves))
    v128.store(out, i32x4.shl(i32x4.extend_low_i16x8_u(halves), 16))
    v128.store(out, i32x4.shl(i32x4.extend_high_i16x8_u(halves), 16), 16)
    p += 16; out += 32
  }
  let finite = i32(!v128.any_true(bad))
  while (p < end) {
    const bits = <u32>load<u16>(p) << 16
    if ((bits & 0x7f800000) == 0x7f800000) finite = 0
    store<u32>(out, bits)
    p += 2; out += 4
  }
  return finite
}

// @ts-ignore: decorator
@inline
function bfloatOf(bits: u32): u32 {
  return (bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16
}

// Four numbers that are not NaN, rounded; the result is in the upper halves.
// @ts-ignore: decorator
@inline
function round4(bits: v128): v128 {
  const odd = v128.and(i32x4.shr_u(bits, 16), i32x4.splat(1))
  return i32x4.add(i32x4.add(bits, i32x4.splat(0x7fff)), odd)
}

// Eight numbers that are not NaN.
// @ts-ignore: decorator
@inline
function bfloat8Of(low: v128, high: v128): v128 {
  return i16x8.narrow_i32x4_u(i32x4.shr_u(round4(low), 16), i32x4.shr_u(round4(high), 16))
}

// Gives 1 where all results are finite.
export function encodeBf16(out: usize, p: usize, n: i32): i32 {
  const start = p
  const end = p + (<usize>n << 2)
  const fast = p + (<usize>(n & ~7) << 2)
  let bad = i32x4.splat(0)
  let nan = i32x4.splat(0)
  while (p < fast) {
    const low = v128.load(p)
    const high = v128.load(p, 16)
    nan = v128.or(nan, v128.or(f32x4.ne(low, low), f32x4.ne(high, high)))
    const halves = bfloat8Of(low, high)
    bad = v128.or(bad, infinite(halves))
    v128.store(out, halves)
    p += 32; out += 16
  }
  let finite = i32(!v128.any_true(v128.or(bad, nan)))
  if (v128.any_true(nan)) { // once more, one by one
    out -= (p - start) >> 1
    p = start
  }
  while (p < end) {
    const bits = bfloatOf(load<u32>(p))
    if ((bits & 0x7f80) == 0x7f80) finite = 0
    store<u16>(out, bits)
    p += 4; out += 2
  }
  return finite
}

// Four binary16 numbers in the lower halves of four lanes.
// @ts-ignore: decorator
@inline
function float4Of(halves: v128): v128 {
  const sign = i32x4.shl(v128.and(halves, i32x4.splat(0x8000)), 16)
  const magnitude = i32x4.shl(v128.and(halves, i32x4.splat(0x7fff)), 13)
  const normal = i32x4.add(magnitude, i32x4.splat(0x38000000))
  // A subnormal is its fraction above 2^-14, less 2^-14.
  const least = i32x4.splat(0x38800000)
  const subnormal = f32x4.sub(i32x4.add(magnitude, least), least)
  const special = v128.or(magnitude, i32x4.splat(0x7f800000))
  const small = i32x4.lt_s(magnitude, i32x4.splat(0x00800000))
  const large = i32x4.ge_s(magnitude, i32x4.splat(0x0f800000))
  return v128.or(sign, v128.bitselect(special, v128.bitselect(subnormal, normal, small), large))
}

export function decodeF16(out: usize, p: usize, n: i32): void {
  const end = p + (<usize>n << 1)
  const fast = p + (<usize>(n & ~7) << 1)
  while (p < fast) {
    const halves = v128.load(p)
    v128.store(out, float4Of(i32x4.extend_low_i16x8_u(halves)))
    v128.store(out, float4Of(i32x4.extend_high_i16x8_u(halves)), 16)
    p += 16; out += 32
  }
  while (p < end) {
    store<i32>(out, i32x4.extract_lane(float4Of(i32x4.splat(load<u16>(p))), 0))
    p += 2; out += 4
  }
}

// @ts-ignore: decorator
@inline
function halfOf(bits: u32): u32 {
  const sign = (bits >> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >> 13) & 0x3ff)
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude >= 0x38800000) return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13)
  if (magnitude < 0x33000000) return sign
  const significand = (magnitude & 0x7fffff) | 0x800000
  const shift = 126 - (magnitude >> 23)
  const kept = significand >> shift
  const dropped = significand & ((1 << shift) - 1)
  const half: u32 = 1 << (shift - 1)
  return sign | (kept + u32(dropped > half || (dropped == half && (kept & 1) == 1)))
}

export function encodeF16(out: usize, p: usize, n: i32): void {
  for (const end = p + (<usize>n << 2); p < end; p += 4, out += 2) store<u16>(out, halfOf(load<u32>(p)))
}

export function decodeF64(out: usize, p: usize, n: i32): void {
  for (const end = p + (<usize>n << 3); p < end; p += 8, out += 4) store<f32>(out, <f32>load<f64>(p))
}

export function encodeF64(out: usize, p: usize, n: i32): void {
  for (const end = p + (<usize>n << 2); p < end; p += 4, out += 8) store<f64>(out, <f64>load<f32>(p))
}

// Sums of inputs as they are in files -----------------------------------------------------------------------------------

// @ts-ignore: decorator
@inline
function lowOf(halves: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), halves, 0, 8, 1, 9, 2, 10, 3, 11)
}

// @ts-ignore: decorator
@inline
function highOf(halves: v128): v128 {
  return v128.shuffle<i16>(i32x4.splat(0), halves, 4, 12, 5, 13, 6, 14, 7, 15)
}

// @ts-ignore: decorator
@inline
function onto(origin: v128, step: v128): v128 {
  return v128.bitselect(origin, f32x4.add(origin, step), f32x4.eq(step, f32x4.splat(0)))
}

// @ts-ignore: decorator
@inline
function sumLoop(out: usize, base: usize, table: usize, inputs: i32, bytes: usize, divisor: f32, lambda: f32, hasBase: bool, divides: bool): bool {
  const last = table + (<usize>inputs << 3)
  const d = f32x4.splat(divisor)
  const l = f32x4.splat(lambda)
  let bad = i32x4.splat(0)
  for (let at: usize = 0; at < bytes; at += 16) {
    let low = f32x4.splat(0)
    let high = f32x4.splat(0)
    let origins = i32x4.splat(0)
    if (hasBase) {
      origins = v128.load(base + at)
      bad = v128.or(bad, infinite(origins))
    }
    for (let entry = table; entry < last; entry += 8) {
      const halves = v128.load(<usize>load<u32>(entry) + at)
      const weight = v128.load32_splat(entry, 4)
      bad = v128.or(bad, infinite(halves))
      const x = hasBase ? f32x4.sub(lowOf(halves), lowOf(origins)) : lowOf(halves)
      const y = hasBase ? f32x4.sub(highOf(halves), highOf(origins)) : highOf(halves)
      low = f32x4.add(low, f32x4.mul(weight, x))
      high = f32x4.add(high, f32x4.mul(weight, y))
    }
    if (divides) {
      low = f32x4.div(low, d)
      high = f32x4.div(high, d)
    }
    if (hasBase) {
      low = onto(lowOf(origins), f32x4.mul(l, low))
      high = onto(highOf(origins), f32x4.mul(l, high))
    }
    bad = v128.or(bad, v128.or(f32x4.ne(low, low), f32x4.ne(high, high)))
    const halves = bfloat8Of(low, high)
    bad = v128.or(bad, infinite(halves))
    v128.store(out + at, halves)
  }
  return !v128.any_true(bad)
}

// Computes multiples of 8 elements; the table has the place and the weight of each input. Gives 1 where every input and
// every result is finite.
export function weightedSum(out: usize, base: usize, table: usize, inputs: i32, n: i32, divisor: f32, lambda: f32): i32 {
  const bytes = <usize>n << 1
  if (base == 0) {
    return i32(divisor == 1
      ? sumLoop(out, base, table, inputs, bytes, divisor, lambda, false, false)
      : sumLoop(out, base, table, inputs, bytes, divisor, lambda, false, true))
  }
  return i32(divisor == 1
    ? sumLoop(out, base, table, inputs, bytes, divisor, lambda, true, false)
    : sumLoop(out, base, table, inputs, bytes, divisor, lambda, true, true))
}
