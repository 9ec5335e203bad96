import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Result } from "effect"
import { writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { encode } from "../src/onnx/Encode.ts"
import * as Graph from "../src/onnx/Graph.ts"
import * as Quantised from "../src/onnx/Quantised.ts"
import * as Batches from "../src/runtime/Batches.ts"
import * as Losses from "../src/runtime/Losses.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"

class Pool extends Context.Service<Pool, WorkerPool.WorkerPool>()("test/QuantisedPool") {}

const [rows, inner, out] = [3, 8, 5]
const weight = Int8Array.from({ length: inner * out }, (_, i) => ((37 * i) % 255) - 127)
const scale = Float32Array.from({ length: out }, (_, i) => 0.01 * (i + 1))
const x = Float32Array.from({ length: rows * inner }, (_, i) => Math.sin(i) * 2)

layer(Layer.effect(Pool, WorkerPool.make({ workers: 1, threads: 1 })))("products of 8-bit integers", (it) => {
  it.effect("are those of f32 to what 8 bits of the activations leave", () =>
    Effect.gen(function* () {
      const directory = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "hila-quantised-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
      )
      const file = join(directory, "weights")
      writeFileSync(file, new Uint8Array(weight.buffer))
      const graph = Graph.build("quantised", (builder) => ({
        y: Quantised.matMul(
          builder.input("x", "f32", ["batch", inner]),
          builder.weight("w", "i8", [inner, out], { file, offset: 0, byteLength: weight.length }),
          builder.constant(scale),
        ),
      }))
      const pool = yield* Pool
      const program = yield* pool.open("quantised", encode(Result.getOrThrow(graph)), 0)
      const outputs = yield* program.lease((lease) =>
        lease.run({ x: Batches.float32(x.slice(), [rows, inner]) }, ["y"]),
      )
      const y = Losses.float32(outputs["y"])
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
    }).pipe(Effect.scoped),
  )
})

describe("a quantised product", () => {
  layer(Layer.empty)((it) => {
    it.effect("is refused while building where shapes do not fit", () =>
      Effect.sync(() => {
        const graph = Graph.build("wrong", (builder) => ({
          y: Quantised.matMul(
            builder.input("x", "f32", ["batch", inner + 1]),
            builder.weight("w", "i8", [inner, out], { file: "/none", offset: 0, byteLength: 1 }),
            builder.constant(scale),
          ),
        }))
        assert.isTrue(Result.isFailure(graph))
      }),
    )
  })
})
