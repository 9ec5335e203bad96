import { assert, describe, it } from "@effect/vitest"
import { Dtype } from "../src/index.ts"

/** The value of a binary floating-point pattern, from its definition. */
const valueOf = (pattern: number, exponentBits: number, fractionBits: number): number => {
  const sign = pattern >>> (exponentBits + fractionBits) === 0 ? 1 : -1
  const exponent = (pattern >>> fractionBits) & (2 ** exponentBits - 1)
  const fraction = pattern & (2 ** fractionBits - 1)
  const bias = 2 ** (exponentBits - 1) - 1
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN
  return exponent === 0
    ? sign * fraction * 2 ** (1 - bias - fractionBits)
    : sign * (1 + fraction / 2 ** fractionBits) * 2 ** (exponent - bias)
}

const formats = [
  { dtype: "F16", exponentBits: 5, fractionBits: 10, infinity: 0x7c00 },
  { dtype: "BF16", exponentBits: 8, fractionBits: 7, infinity: 0x7f80 },
] as const

const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i)
const patternBytes = new Uint8Array(patterns.buffer)

/** The nearest pattern by search over all of them; a tie goes to the even one. */
const nearest = (value: number, table: Float64Array, infinity: number): number => {
  const sign = Object.is(Math.sign(value), -0) || value < 0 ? 0x8000 : 0
  const magnitude = Math.abs(value)
  const at = (pattern: number) => table[pattern] ?? Number.NaN
  let low = 0
  let high = infinity
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    if (at(middle) <= magnitude) low = middle
    else high = middle
  }
  const below = magnitude - at(low)
  const above = at(high) - magnitude
  if (below === 0) return sign | low
  if (magnitude >= at(high)) return sign | high
  if (below === above) return sign | (low % 2 === 0 ? low : high)
  return sign | (below < above ? low : high)
}

/** A generator of 32-bit integers, the same in every run. */
const random32 = (seed: number) => {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
}

describe("Dtype", () => {
  for (const { dtype, exponentBits, fractionBits, infinity } of formats) {
    it(`${dtype} decodes every pattern to the value of its definition`, () => {
      const got = Dtype.toFloat32(patternBytes, dtype)
      const wrong = patterns.filter(
        (pattern) => !Object.is(got[pattern], valueOf(pattern, exponentBits, fractionBits)),
      )
      assert.deepStrictEqual([...wrong], [])
    })

    it(`${dtype} encodes what it decoded to the same pattern, NaN to NaN of the same sign`, () => {
      const sameNaN = (a = 0, b = 0) => (a & 0x7fff) > infinity && a >>> 15 === b >>> 15
      const back = new Uint16Array(Dtype.fromFloat32(Dtype.toFloat32(patternBytes, dtype), dtype).buffer)
      const wrong = patterns.filter((pattern) =>
        (pattern & 0x7fff) > infinity ? !sameNaN(back[pattern], pattern) : back[pattern] !== pattern,
      )
      assert.deepStrictEqual([...wrong], [])
    })

    it(`${dtype} rounds to the nearest pattern, ties to even, as a search over all patterns does`, () => {
      // The value where infinity's pattern would continue the finite ones, so that overflow rounds like the rest.
      const table = Float64Array.from({ length: infinity + 1 }, (_, i) =>
        valueOf(i, exponentBits, fractionBits),
      )
      table[infinity] = 2 ** (2 ** (exponentBits - 1))
      const words: Array<number> = [
        0, 0x80000000, 1, 0x80000001, 0x007fffff, 0x7f7fffff, 0x7f800000, 0xff800000,
      ]
      const float = new Float32Array(1)
      const word = new Uint32Array(float.buffer)
      for (let i = 0; i < infinity; i++) {
        float[0] = ((table[i] ?? 0) + (table[i + 1] ?? 0)) / 2
        const middle = word[0] ?? 0
        words.push(middle - 1, middle, middle + 1, middle | 0x80000000)
      }
      const next = random32(7)
      for (let i = 0; i < 100_000; i++) {
        const bits = next()
        // Half of the draws inside the format's own range, where rounding differs from overflow and underflow.
        words.push(i % 2 === 0 ? bits : (bits & 0x807fffff) | ((100 + (bits % 45)) << 23))
      }
      const values = new Float32Array(Uint32Array.from(words).buffer)
      const got = new Uint16Array(Dtype.fromFloat32(values, dtype).buffer)
      const wrong = words.filter((_, i) =>
        Number.isNaN(values[i])
          ? ((got[i] ?? 0) & 0x7fff) <= infinity
          : got[i] !== nearest(values[i] ?? 0, table, infinity),
      )
      assert.deepStrictEqual(wrong, [])
    })
  }

  it("a NaN whose payload does not fit stays NaN", () => {
    const values = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer)
    for (const dtype of ["F16", "BF16"] as const) {
      const back = Dtype.toFloat32(Dtype.fromFloat32(values, dtype), dtype)
      assert.isTrue(back.every(Number.isNaN))
    }
  })

  it("F32 and F64 keep every float32, and bytes at any offset are read", () => {
    const values = Float32Array.of(1.5, -0, 1e-45, 3.4e38, Infinity)
    for (const dtype of ["F32", "F64"] as const) {
      const bytes = Dtype.fromFloat32(values, dtype)
      const shifted = new Uint8Array(bytes.length + 1)
      shifted.set(bytes, 1)
      assert.deepStrictEqual(Dtype.toFloat32(shifted.subarray(1), dtype), values)
    }
  })

  it("conversion gives new memory", () => {
    const values = Float32Array.of(1)
    Dtype.fromFloat32(values, "F32").fill(0)
    assert.strictEqual(values[0], 1)
  })

  it("packed formats need whole bytes", () => {
    assert.strictEqual(Dtype.byteLength("F4", 6), 3)
    assert.strictEqual(Dtype.byteLength("F6_E2M3", 4), 3)
    assert.isNaN(Dtype.byteLength("F4", 3))
    assert.strictEqual(Dtype.all.length, 22)
  })
})
