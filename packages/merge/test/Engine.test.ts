/** The streaming engine: what its result does not depend on, and what is left of a run that is killed. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { Engine } from "@hila/merge"
import { definitions } from "../src/methods/registry.ts"
import { Dtype, Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { fork } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { once } from "node:events"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { drive } from "./drive.ts"
import * as Models from "./models.ts"
import { bytesOf, list, scratch, tensorBytes } from "./support.ts"

let directory = ""
let models: Effect.Success<ReturnType<typeof Models.write>>

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "hila-merge-"))
  models = await Effect.runPromise(Models.write(directory))
})

afterAll(() => rm(directory, { recursive: true }))

const read = (info: Safetensors.TensorInfo) =>
  Effect.map(Safetensors.read(info), (bytes) =>
    Dtype.isFloat(info.dtype) ? Dtype.toFloat32(bytes, info.dtype) : new Float32Array(),
  )

const names = Object.keys(Models.params) as ReadonlyArray<keyof typeof Models.params>

describe("the bytes of a merge", () => {
  for (const name of names) {
    it.effect(`by ${name} are the same with any number of threads, chunks and shards`, () =>
      Effect.gen(function* () {
        const output = yield* scratch
        const tensors = Models.plan(models, name)
        const merge = (options: Engine.Options, to: string) =>
          Engine.write(join(output, to), { method: name, tensors, files: models.files, ...options })
        const expected = yield* Effect.flatMap(merge({ threads: 0 }, "inline"), tensorBytes)
        assert.deepStrictEqual(
          yield* Effect.flatMap(merge({ threads: 1, chunk: 1 }, "one"), tensorBytes),
          expected,
        )
        const sharded = yield* merge({ threads: 2, chunk: 40_000, shardBytes: 300_000 }, "two")
        assert.deepStrictEqual(yield* tensorBytes(sharded), expected)
        const files = (yield* list(join(output, "two"))).filter((file) => file.startsWith("model"))
        const shards = [1, 2, 3, 4].map((shard) => `model-0000${shard}-of-00004.safetensors`)
        assert.sameMembers(files, [...shards, "model.safetensors.index.json"])
      }),
    )
  }

  for (const name of names) {
    it.effect(`by ${name} are those of the plain kernels`, () =>
      Effect.gen(function* () {
        const plans = Models.plan(models, name)
        const options = { method: name, tensors: plans, files: models.files }
        const merged = yield* Engine.write(join(yield* scratch, "merged"), options)
        const floats = plans.filter(({ dtype }) => Dtype.isFloat(dtype))
        const tensors = yield* Effect.forEach(floats, ({ base, models: experts, name: tensor, shape }) =>
          Effect.map(Effect.forEach([base!, ...experts], read), ([origin, ...tuned]) => ({
            name: tensor,
            shape,
            base: origin!,
            models: tuned,
          })),
        )
        const definition = definitions[name === "ties, global" ? "ties" : name]
        const groups = name === "ties, global" ? [tensors] : tensors.map((tensor) => [tensor])
        const expected = groups.flatMap((group) => drive(definition, Models.params[name], group, 30_000))
        const got = yield* tensorBytes(merged)
        for (const [at, { dtype, name: tensor }] of floats.entries()) {
          const bytes = Dtype.isFloat(dtype) ? Dtype.fromFloat32(expected[at]!, dtype) : new Uint8Array()
          assert.isTrue(got[tensor] === Buffer.from(bytes).toString("hex"), tensor)
        }
      }),
    )
  }

  it.effect("stay the same when another tensor joins", () =>
    Effect.gen(function* () {
      const output = yield* scratch
      for (const name of ["dare_ties", "della", "ties"] as const) {
        const all = Models.plan(models, name)
        const tensors = all.filter((tensor) => tensor.name !== "embed.weight")
        const merge = (of: typeof all, to: string) =>
          Effect.flatMap(
            Engine.write(join(output, `${name} ${to}`), {
              method: name,
              tensors: of,
              files: models.files,
            }),
            tensorBytes,
          )
        const { "embed.weight": _, ...others } = yield* merge(all, "all")
        assert.deepStrictEqual(yield* merge(tensors, "some"), others)
      }
    }),
  )
})

describe("the memory of a merge", () => {
  it("is bounded before it begins, by the tensors' shapes and not by their number", () => {
    for (const name of ["linear", "ties"] as const) {
      const tensors = Models.plan(models, name)
      const deep = [0, 1, 2, 3].flatMap((layer) =>
        tensors.map((tensor) => ({ ...tensor, name: `${layer}.${tensor.name}` })),
      )
      const bound = Engine.memoryBound(tensors, { threads: 2 })
      assert.strictEqual(Engine.memoryBound(deep, { threads: 2 }), bound)
      assert.isBelow(bound, 2 ** 30)
    }
  })
})

describe("a merge that is killed", () => {
  it.effect("leaves no output directory, and the next run ends right and cleans up", () =>
    Effect.gen(function* () {
      const place = yield* scratch
      const output = join(place, "merged")
      const entry = fileURLToPath(new URL("merging.ts", import.meta.url))
      // The first bytes of a tensor, the middle, and the last byte: all is there but the name of the directory.
      for (const share of [0, 0.5, 1]) {
        const [, signal] = yield* Effect.promise(() =>
          once(
            fork(entry, [directory, output, String(share)], { execArgv: ["--conditions=@hila/source"] }),
            "exit",
          ),
        )
        assert.strictEqual(signal, "SIGKILL")
        const left = yield* list(place)
        assert.strictEqual(left.length, 1, "what the one before left is gone")
        assert.match(left[0] ?? "", /^merged\.\d+-[0-9a-f]{8}\.tmp$/)
      }
      const again = join(place, "again")
      const tensors = Models.plan(models, "ties")
      yield* Engine.write(again, { method: "ties", tensors, files: models.files })
      yield* Engine.write(output, { method: "ties", tensors, files: models.files })
      assert.sameMembers(yield* list(place), ["again", "merged"])
      const weights = (path: string) => bytesOf(join(path, "model.safetensors"))
      assert.isTrue((yield* weights(output)).equals(yield* weights(again)))
    }),
  )
})
