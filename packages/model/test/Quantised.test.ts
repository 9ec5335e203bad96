import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { encode } from "../src/onnx/Encode.ts"
import * as Graph from "../src/onnx/Graph.ts"
import * as Quantised from "../src/onnx/Quantised.ts"
import * as Batches from "../src/runtime/Batches.ts"
import * as Losses from "../src/runtime/Losses.ts"
import * as SessionOptions from "../src/runtime/SessionOptions.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import { temporary } from "./support/fixtures.ts"

interface Product {
  readonly rows: number
  readonly inner: number
  readonly out: number
  /** [rows, inner] */
  readonly x: Float32Array
  /** [inner, out] */
  readonly weight: Int8Array
  /** [out] */
  readonly scale: Float32Array
}

/** x · W by the runtime, [rows, out]; by default in a worker that looks at the options of its sessions. */
const computed = Effect.fnUntraced(function* (
  { inner, out, rows, scale, weight, x }: Product,
  weightAccess: "link" | "memory" = "link",
) {
  const file = join(yield* temporary, "weights")
  writeFileSync(file, new Uint8Array(weight.buffer))
  const graph = Graph.build("quantised", (builder) => ({
    y: Quantised.matMul(
      builder.input("x", "f32", ["batch", inner]),
      builder.weight("w", "i8", [inner, out], { file, offset: 0, byteLength: weight.length }),
      builder.constant(scale),
    ),
  }))
  const entry = new URL("support/options-worker.ts", import.meta.url)
  const pool = yield* WorkerPool.make({ workers: 1, threads: 1, weightAccess }, entry)
  const program = yield* pool.open("quantised", encode(Result.getOrThrow(graph)), 0)
  const outputs = yield* program.lease((lease) =>
    lease.run({ x: Batches.float32(x.slice(), [rows, inner]) }, ["y"]),
  )
  return Losses.float32(outputs["y"])
})

/** Sums over pairs of neighbours along `inner`, each pair through `pair`: [rows, out] of integers. */
const integers = (
  { inner, out, rows, weight, x }: Product,
  zero: number,
  pair: (sum: number) => number,
): Array<number> =>
  Array.from({ length: rows * out }, (_, at) => {
    const [r, c] = [Math.floor(at / out), at % out]
    const term = (k: number, offset: number) =>
      k < inner ? (x[r * inner + k]! + offset) * weight[k * out + c]! : 0
    let sum = 0
    for (let k = 0; k < inner; k += 2) sum += pair(term(k, zero) + term(k + 1, zero))
    for (let k = 0; k < inner; k++) sum -= zero * weight[k * out + c]!
    return sum
  })

const exactly = (sum: number): number => sum
/** What adding pairs in 16 bits does to them. */
const saturated = (sum: number): number => Math.max(-32768, Math.min(32767, sum))

describe("products of 8-bit integers", () => {
  // Whole numbers over a range of exactly 255 are their own 8-bit integers, with a step of 1.
  for (const [zero, name] of [
    [0, "0…255"],
    [128, "−128…127"],
  ] as const) {
    for (const inner of [2, 7, 64, 515]) {
      it.effect(`of activations ${name} and ${inner} weights at the limits are exact, not saturated`, () =>
        Effect.gen(function* () {
          // One row alone is another kernel than several.
          const [rows, out] = [inner === 64 ? 1 : 3, 18]
          const product: Product = {
            rows,
            inner,
            out,
            // Mostly the largest, and one of each end so that the range is the whole one.
            x: Float32Array.from({ length: rows * inner }, (_, i) =>
              i === 0 ? -zero : i % 5 === 3 ? ((53 * i) % 256) - zero : 255 - zero,
            ),
            weight: Int8Array.from({ length: inner * out }, (_, i) =>
              i % out < 6 ? 127 : i % out < 12 ? -127 : ((37 * i) % 255) - 127,
            ),
            scale: new Float32Array(out).fill(1),
          }
          const exact = integers(product, zero, exactly)
          assert.notDeepEqual(integers(product, zero, saturated), exact)
          for (const access of ["link", "memory"] as const) {
            assert.deepStrictEqual([...(yield* computed(product, access))], exact, access)
          }
        }),
      )
    }
  }

  it.effect("are those of f32 to what 8 bits of the activations leave", () =>
    Effect.gen(function* () {
      const [rows, inner, out] = [3, 8, 5]
      const weight = Int8Array.from({ length: inner * out }, (_, i) => ((37 * i) % 255) - 127)
      const scale = Float32Array.from({ length: out }, (_, i) => 0.01 * (i + 1))
      const x = Float32Array.from({ length: rows * inner }, (_, i) => Math.sin(i) * 2)
      const y = yield* computed({ rows, inner, out, x, weight, scale })
      // One step of the activations is their range over 255; half of it per term at most.
      const step = (Math.max(...x) - Math.min(...x)) / 255
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < out; c++) {
          let [exact, bound] = [0, 1e-4]
          for (let k = 0; k < inner; k++) {
            const w = weight[k * out + c]! * scale[c]!
            exact += x[r * inner + k]! * w
            bound += (step / 2) * Math.abs(w)
          }
          assert.closeTo(y[r * out + c]!, exact, bound)
        }
      }
    }),
  )

  it("are asked for exactly of every session, whatever else it is opened with", () => {
    for (const access of ["link", "memory"] as const) {
      for (const planMemory of [true, false]) {
        const spec = { model: new Uint8Array(), weights: [], threads: 2, access, planMemory }
        const options = SessionOptions.of(spec)
        assert.deepStrictEqual(options.extra, { session: { x64quantprecision: "1" } })
        assert.strictEqual(options.enableMemPattern, planMemory)
        assert.strictEqual(options.intraOpNumThreads, 2)
      }
    }
  })
})

describe("a quantised product", () => {
  it("is refused while building where shapes do not fit", () => {
    const graph = Graph.build("wrong", (builder) => ({
      y: Quantised.matMul(
        builder.input("x", "f32", ["batch", 9]),
        builder.weight("w", "i8", [8, 5], { file: "/none", offset: 0, byteLength: 1 }),
        builder.constant(new Float32Array(5)),
      ),
    }))
    assert.isTrue(Result.isFailure(graph))
  })
})
