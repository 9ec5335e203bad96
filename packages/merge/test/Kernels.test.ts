/** The SIMD kernels against the plain ones, bit by bit, on values of every kind. */
import { assert, describe, it } from "@effect/vitest"
import { Dtype } from "@hila/model"
import { compile } from "../assembly/build.mjs"
import * as Random from "../src/kernels/Random.ts"
import { kernels as reference } from "../src/kernels/Reference.ts"
import * as Wasm from "../src/kernels/Wasm.ts"
import { base64 } from "../src/kernels/wasmBytes.ts"
import { makeMemory } from "../src/internal/webAssembly.ts"
import { random } from "./support.ts"

const memory = makeMemory(1 << 20)
const wasm = Wasm.make(memory)

const special = [0, -0, 1, -1, 2 ** -149, -(2 ** -149), 2 ** -126, 3.4e38, -3.4e38, Infinity, -Infinity, 0.5]

/** Small numbers of few bits (so that many are equal), large ones, and special ones. */
const draw = (next: () => number, extreme: boolean): number => {
  const kind = next()
  if (extreme && kind < 0.1) return special[Math.floor(next() * special.length)]!
  if (kind < 0.5) return Math.floor(next() * 16 - 8) * 2 ** -12
  return (next() - 0.5) * 2 ** Math.floor(next() * 20 - 10)
}

/** Views of the wasm memory and equal ones outside it, each with a guard behind it. */
const arena = (seed: number) => {
  const next = random(seed)
  let offset = 1024
  const place = (bytes: number) => {
    const begin = offset
    offset = (offset + bytes + 31) & ~15
    return begin
  }
  return {
    next,
    floats: (length: number, make: () => number) => {
      const ours = new Float32Array(memory.buffer, place(4 * length), length)
      for (let i = 0; i < length; i++) ours[i] = make()
      return [ours, Float32Array.from(ours)] as const
    },
    bytes: (length: number, make: () => number) => {
      const ours = new Uint8Array(memory.buffer, place(length), length)
      for (let i = 0; i < length; i++) ours[i] = make()
      return [ours, Uint8Array.from(ours)] as const
    },
    counts: (length: number) => {
      const ours = new Uint32Array(memory.buffer, place(4 * length), length).fill(0)
      return [ours, new Uint32Array(length)] as const
    },
  }
}

/** Equal bits, where every NaN is one. */
const assertSame = (got: Float32Array, expected: Float32Array, what: string) => {
  const bits = (values: Float32Array) =>
    Array.from(values, (value) => (Object.is(value, -0) ? "-0" : String(value)))
  assert.deepStrictEqual(bits(got), bits(expected), what)
}

const lengths = [1, 2, 3, 4, 5, 7, 8, 31, 64, 257]

describe("the SIMD kernels", () => {
  it("do elementwise arithmetic and reductions as the plain ones do", () => {
    for (const [seed, length] of [...lengths, ...lengths].entries()) {
      const { floats, next } = arena(seed)
      const extreme = seed >= lengths.length
      const array = () => floats(length, () => draw(next, extreme))
      const [a, b, c, d] = [array(), array(), array(), array()]
      const w = draw(next, false)
      const both = (name: string, run: (kernels: typeof reference, side: 0 | 1) => number | void) => {
        const [got, expected] = [run(wasm, 0), run(reference, 1)]
        assert.deepStrictEqual(got, expected, `${name} of ${length}`)
        for (const [ours, theirs] of [a, b, c, d]) assertSame(ours, theirs, `${name} of ${length}`)
      }
      both("sumAbs", (k, s) => k.sumAbs(a[s]))
      both("dot", (k, s) => k.dot(a[s], b[s]))
      both("countNonzero", (k, s) => k.countNonzero(a[s]))
      both("firstOutside", (k, s) => k.firstOutside(a[s], 0.25))
      both("subtract", (k, s) => k.subtract(a[s], a[s], b[s]))
      both("multiply", (k, s) => k.multiply(c[s], a[s], b[s]))
      both("addScaled", (k, s) => k.addScaled(a[s], d[s], w))
      both("scale", (k, s) => k.scale(b[s], w))
      both("affine", (k, s) => k.affine(d[s], w, 0.3))
      both("divide", (k, s) => k.divide(a[s], w === 0 ? 3 : w))
      both("addSquaredDifference", (k, s) => k.addSquaredDifference(b[s], c[s], d[s]))
      both("applyTo", (k, s) => k.applyTo(d[s], b[s], seed % 3 === 0 ? 0 : w))
      both("addAgreeing", (k, s) => k.addAgreeing(a[s], b[s], c[s], d[s], w, 0.7))
      both("keepWhere", (k, s) => k.keepWhere(b[s], d[s]))
      both("divideNonzero", (k, s) => k.divideNonzero(a[s], b[s]))
      both("divideFloored", (k, s) => k.divideFloored(c[s], d[s], 1e-3))
    }
  })

  it("select as the plain ones do, whatever the number of ties", () => {
    for (const [seed, length] of [...lengths, ...lengths].entries()) {
      const { counts, floats, next } = arena(100 + seed)
      const values = floats(length, () => draw(next, seed % 2 === 0))
      const [high, low] = [counts(1 << 16), counts(1 << 15)]
      const pick = values[1][Math.floor(next() * length)]!
      const pattern = new Uint32Array(Float32Array.of(pick).buffer)[0]! & 0x7fffffff
      wasm.countHigh(high[0], values[0])
      reference.countHigh(high[1], values[1])
      assert.isTrue(Buffer.from(high[0]).equals(Buffer.from(high[1])))
      wasm.countLow(low[0], values[0], pattern >>> 15)
      reference.countLow(low[1], values[1], pattern >>> 15)
      assert.isTrue(Buffer.from(low[0]).equals(Buffer.from(low[1])))
      for (const operation of ["keepLargest", "dropLargest"] as const) {
        for (const ties of [0, 1, 2, 5, length, 0x7fffffff]) {
          const copy = floats(length, () => 0)
          for (const side of [0, 1] as const) copy[side].set(values[side])
          const got = wasm[operation](copy[0], pattern, ties)
          assert.strictEqual(got, reference[operation](copy[1], pattern, ties))
          assertSame(copy[0], copy[1], `${operation} of ${length} with ${ties} ties`)
        }
      }
    }
  })

  it("draw the same random numbers, also where the index passes 2^32", () => {
    for (const [seed, length] of lengths.entries()) {
      const { floats, next } = arena(200 + seed)
      for (const start of [0, 12345, 2 ** 32 - 3, 2 ** 33 - Math.floor(length / 2)]) {
        for (const keep of [0, 0.3, 0.5, 1]) {
          const values = floats(length, () => draw(next, true))
          const probabilities = floats(length, next)
          assert.strictEqual(values[0].length, values[1].length)
          wasm.keepRandom(values[0], 77, start, keep)
          reference.keepRandom(values[1], 77, start, keep)
          assertSame(values[0], values[1], `keepRandom from ${start}`)
          wasm.keepRandomEach(values[0], probabilities[0], 78, start)
          reference.keepRandomEach(values[1], probabilities[1], 78, start)
          assertSame(values[0], values[1], `keepRandomEach from ${start}`)
        }
      }
    }
  })

  it("rank rows and pack bits as the plain ones do", () => {
    for (const [seed, columns] of [...lengths, 2048, 2048].entries()) {
      for (const rows of [1, 3]) {
        const { bytes, floats, next } = arena(300 + seed)
        // The second of 2048 has one large value in each row, above which all others are small.
        const tiny = seed > lengths.length
        const values = floats(rows * columns, () => draw(next, !tiny) * (tiny ? 2 ** -30 : 1))
        if (tiny)
          for (let row = 0; row < rows; row++)
            for (const side of [0, 1] as const) values[side][row * columns] = 1
        const ranks = floats(rows * columns, () => 7)
        const scratch = floats(4 * columns + 6144, () => 7)
        wasm.rankRows(ranks[0], values[0], columns, scratch[0])
        reference.rankRows(ranks[1], values[1], columns, scratch[1])
        assertSame(ranks[0], ranks[1], `ranks of ${columns} columns`)
        const bits = bytes(rows * Math.ceil(columns / 8), () => 255)
        wasm.packNonzero(bits[0], values[0], columns)
        reference.packNonzero(bits[1], values[1], columns)
        assert.deepStrictEqual(Array.from(bits[0]), Array.from(bits[1]))
        wasm.keepBits(ranks[0], bits[0], columns)
        reference.keepBits(ranks[1], bits[1], columns)
        assertSame(ranks[0], ranks[1], `bits of ${columns} columns`)
      }
    }
  })

  it("drop by rank as ranking, probabilities and draws do one after the other", () => {
    const kinds: ReadonlyArray<(next: () => number) => number> = [
      (next) => draw(next, true),
      (next) => draw(next, false),
      (next) => (next() - 0.5) * (next() - 0.5), // few ties
      (next) => Math.round(8 * next() - 4) * 2 ** -13, // many ties
      (next) => (next() < 0.5 ? -1 : 1), // nothing but ties
      (next) => (next() < 0.001 ? 1 : next() * 2 ** -20), // more in one range than are counted one by one
    ]
    for (const [seed, kind] of kinds.entries()) {
      for (const columns of [...lengths, 2048]) {
        for (const start of [0, 4096, 2 ** 32 - columns - 2]) {
          const { floats, next } = arena(350 + seed)
          const values = floats(3 * columns, () => kind(next))
          const scratch = floats(7 * columns + 8208, () => 7)
          const stream = { key: 79 + seed, start }
          for (const [side, kernels] of ([wasm, reference] as const).entries()) {
            const probability = { factor: 0.5 / columns, offset: 0.2 }
            kernels.keepRanked(values[side]!, columns, probability, stream, scratch[side]!)
          }
          assert.strictEqual(values[0].length, values[1].length)
          assertSame(values[0], values[1], `kind ${seed}, ${columns} columns from ${start}`)
        }
      }
    }
  })

  it("convert every dtype as the model package does", () => {
    const { bytes, floats, next } = arena(400)
    const every = bytes(1 << 17, () => 0)
    for (let i = 0; i < 1 << 16; i++) {
      every[0][2 * i] = i & 0xff
      every[0][2 * i + 1] = i >> 8
    }
    for (const dtype of ["BF16", "F16"] as const) {
      const [values] = floats(1 << 16, () => 0)
      wasm.decode(values, every[0], dtype)
      assertSame(values, Dtype.toFloat32(Uint8Array.from(every[0]), dtype), dtype)
    }
    for (const dtype of ["BF16", "F16", "F32", "F64"] as const) {
      for (const length of lengths) {
        const width = Dtype.bytes(dtype)
        const [values] = floats(length, () => draw(next, true) * 2 ** Math.floor(next() * 40 - 20))
        const [out] = bytes(width * length, () => 0)
        wasm.encode(out, values, dtype)
        const expected = Dtype.fromFloat32(Float32Array.from(values), dtype)
        assert.deepStrictEqual(Array.from(out), Array.from(expected), dtype)
        wasm.decode(values, out, dtype)
        assertSame(values, Dtype.toFloat32(expected, dtype), dtype)
      }
    }
  })
})

describe("the weighted sum of bfloat16 inputs", () => {
  const elements = 40
  /** Finite numbers but for `bad`, as bfloat16 in the memory of the kernels. */
  const inputs = (seed: number, count: number, bad?: number) => {
    const { bytes, floats, next } = arena(seed)
    const made = Array.from({ length: count }, () => {
      const [values] = floats(
        elements,
        () => draw(next, false) * (next() < 0.1 ? 0 : 1) * (next() < 0.5 ? -1 : 1),
      )
      const [out] = bytes(2 * elements, () => 0)
      wasm.encode(out, values, "BF16")
      return out
    })
    if (bad !== undefined) new Uint16Array(made[0]!.buffer, made[0]!.byteOffset)[17] = bad
    const values = () => floats(elements, () => 0)[0]
    return { made, out: bytes(2 * elements, () => 1)[0], slow: bytes(2 * elements, () => 2)[0], values }
  }

  it("has the bits of its steps one after the other, with and without base and divisor", () => {
    for (const [seed, lambda] of [undefined, 1, 0, -0.7, 1.3, undefined].entries()) {
      for (const divisor of [1, 0.9, 3]) {
        const { made, out, slow, values } = inputs(
          500 + seed,
          1 + (seed % 4) + (lambda === undefined ? 0 : 1),
        )
        const base = lambda === undefined ? undefined : made[0]
        const models = base === undefined ? made : made.slice(1)
        const weights = models.map((_, index) => 0.3 + 0.4 * index)
        const sum = { base, inputs: models, weights, divisor, lambda: lambda ?? 0 }
        assert.isTrue(wasm.weightedSum(out, sum, values()))
        const [result, origin, value] = [values(), values(), values()]
        if (base !== undefined) assert.isTrue(wasm.decode(origin, base, "BF16"))
        for (const [index, model] of models.entries()) {
          wasm.decode(value, model, "BF16")
          if (base !== undefined) wasm.subtract(value, value, origin)
          wasm.addScaled(result, value, weights[index]!)
        }
        if (divisor !== 1) wasm.divide(result, divisor)
        if (base !== undefined) wasm.applyTo(result, origin, lambda ?? 0)
        assert.isTrue(wasm.encode(slow, result, "BF16"))
        assert.deepStrictEqual(Array.from(out), Array.from(slow), `lambda ${lambda}, divisor ${divisor}`)
      }
    }
  })

  it("says where an input or the result is not finite, and so do the conversions", () => {
    for (const bad of [0x7f80, 0xff80, 0x7fc0, 0xffff]) {
      const { made, out, values } = inputs(520, 2, bad)
      const sum = { inputs: made, weights: [1, 1], divisor: 1, lambda: 1 }
      assert.isFalse(wasm.weightedSum(out, { ...sum, base: undefined }, values()))
      assert.isFalse(wasm.weightedSum(out, { ...sum, base: made[0] }, values()))
      const decoded = values()
      assert.isFalse(wasm.decode(decoded, made[0]!, "BF16"))
      assert.isFalse(wasm.encode(out, decoded, "BF16"))
      const expected = Dtype.fromFloat32(Float32Array.from(decoded), "BF16")
      assert.deepStrictEqual(Array.from(out), Array.from(expected))
    }
    const { made, out, values } = inputs(521, 2)
    assert.isFalse(
      wasm.weightedSum(
        out,
        { base: undefined, inputs: made, weights: [3e38, 3e38], divisor: 1e-30, lambda: 1 },
        values(),
      ),
    )
  })
})

describe("random numbers", () => {
  it("are even, and those of two models or tensors have nothing in common", () => {
    const count = 1 << 16
    const stream = (key: number) => {
      const [k, l] = Random.lanes(key, 0)
      return Array.from({ length: count }, (_, i) => Random.bits24(k, l, i) / 2 ** 24)
    }
    const streams = [
      Random.key(1, 0, "a"),
      Random.key(1, 1, "a"),
      Random.key(1, 0, "b"),
      Random.key(2, 0, "a"),
    ].map(stream)
    for (const [at, values] of streams.entries()) {
      const mean = values.reduce((sum, value) => sum + value, 0) / count
      assert.isBelow(Math.abs(mean - 0.5), 5 * Math.sqrt(1 / 12 / count))
      for (const other of streams.slice(at + 1)) {
        const product = values.reduce((sum, value, i) => sum + (value - 0.5) * (other[i]! - 0.5), 0) / count
        assert.isBelow(Math.abs(product), 5 / 12 / Math.sqrt(count))
      }
    }
  })
})

describe("the committed WebAssembly", () => {
  it("is what assembly/kernels.as compiles to", async () => {
    assert.strictEqual(Buffer.from(await compile()).toString("base64"), base64)
  })
})
