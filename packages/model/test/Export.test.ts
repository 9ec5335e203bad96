import { assert, describe, it, layer } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { cpSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { Checkpoint, Export, Runtime } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"
import { distance, fixture, openModel } from "./support/models.ts"

const child = fileURLToPath(new URL("support/onnx-child.mjs", import.meta.url))

/** What a program of its own computes with an export, from two steps over a cache. */
const runElsewhere = Effect.fnUntraced(function* (graph: string, question: object) {
  const { stdout } = yield* Effect.promise(() =>
    promisify(execFile)(process.execPath, [child, graph, JSON.stringify(question)], {
      maxBuffer: 2 ** 26,
      env: { ...process.env, ORT_DISABLE_TELEMETRY: "1" },
    }),
  )
  return JSON.parse(stdout) as {
    readonly inputs: ReadonlyArray<string>
    readonly logits: ReadonlyArray<number>
  }
})

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Export", (it) => {
  it.effect("gives the same logits in any ONNX Runtime, over links to the checkpoint's own weights", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      // A checkpoint whose weights are a symbolic link, as in the Hub's cache.
      const source = join(directory, "snapshot")
      cpSync(fixture("math"), join(directory, "blobs"), { recursive: true })
      mkdirSync(source)
      for (const name of readdirSync(join(directory, "blobs")))
        symlinkSync(join("..", "blobs", name), join(source, name))
      const checkpoint = yield* Checkpoint.open(source)
      const exported = yield* Export.onnx(checkpoint, join(directory, "onnx"))
      assert.deepStrictEqual(readdirSync(join(directory, "onnx")), ["model.onnx", "weights-0.safetensors"])
      assert.deepStrictEqual(exported.weights, [{ name: "weights-0.safetensors", linked: true }])
      const inode = (path: string) => statSync(path).ino
      assert.strictEqual(
        inode(join(directory, "onnx/weights-0.safetensors")),
        inode(join(directory, "blobs/model.safetensors")),
      )
      assert.isBelow(statSync(exported.graph).size, 100_000)

      const model = yield* openModel(fixture("math"))
      const tokens = yield* (yield* model.tokenizer).encode("Q: 87+45\nA: 132")
      const { headDim, kvHeads } = model.shape
      const steps = [tokens.slice(0, 9), tokens.slice(9)]
      const found = yield* runElsewhere(exported.graph, {
        tokens: steps,
        layers: model.shape.layers.length,
        kvHeads,
        headDim,
      })
      const [expected = new Float32Array()] = yield* model.logits([tokens])
      assert.isAtMost(distance(found.logits, expected), 1e-4)
      assert.deepStrictEqual(
        exported.inputs.map(({ name }) => name),
        [...found.inputs],
      )
    }),
  )
})

describe("Export", () => {
  it.effect("refuses a directory that holds something, and leaves nothing where it fails", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const checkpoint = yield* Checkpoint.open(fixture("base"))
      writeFileSync(join(directory, "mine.txt"), "")
      const taken = yield* Effect.flip(Export.onnx(checkpoint, directory))
      assert.match(taken.message, /already exists: expected a new or empty directory$/)
      const moved = {
        ...checkpoint,
        tensors: new Map(
          [...checkpoint.tensors].map(([name, info]) => [name, { ...info, file: join(directory, "gone") }]),
        ),
      }
      const gone = yield* Effect.flip(Export.onnx(moved, join(directory, "onnx")))
      assert.include(gone.message, "no such file or directory")
      assert.deepStrictEqual(readdirSync(directory), ["mine.txt"])
    }),
  )
})
