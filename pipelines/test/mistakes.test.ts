import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cp, readdir, readFile, truncate, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { hila, temporaryStore } from "./command.ts"

const pipeline = fileURLToPath(new URL("./support/generate.ts", import.meta.url))
const base = fileURLToPath(new URL("../../fixtures/micro/base", import.meta.url))

interface Header {
  [tensor: string]: { dtype: string; shape: Array<number>; data_offsets: [number, number] }
}

/** Rewrites the header of a safetensors file, keeping the tensors' bytes. */
const rewriteHeader = async (path: string, change: (header: Header) => void) => {
  const bytes = await readFile(path)
  const length = Number(bytes.readBigUInt64LE(0))
  const header: Header = JSON.parse(bytes.toString("utf8", 8, 8 + length))
  change(header)
  const text = Buffer.from(JSON.stringify(header))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  await writeFile(path, Buffer.concat([size, text, bytes.subarray(8 + length)]))
}

const weights = (directory: string) => join(directory, "model.safetensors")
const norm = "model.layers.1.input_layernorm.weight"

const mistakes: ReadonlyArray<{
  readonly name: string
  readonly spoil: (directory: string) => Promise<void>
  readonly says: ReadonlyArray<string>
}> = [
  {
    name: "a truncated safetensors file",
    spoil: (directory) => truncate(weights(directory), 100_000),
    says: ["model.safetensors"],
  },
  {
    name: "a header whose tensor is longer than its dtype and shape say",
    spoil: (directory) =>
      rewriteHeader(weights(directory), (header) => {
        header[norm]!.dtype = "F32"
      }),
    says: ["model.safetensors", norm],
  },
  {
    name: "a missing tensor",
    spoil: (directory) =>
      rewriteHeader(weights(directory), (header) => {
        // Its bytes stay: another name takes them, so that the file itself is valid.
        header["model.layers.1.spare.weight"] = header[norm]!
        delete header[norm]
      }),
    says: [norm],
  },
  {
    name: "a tensor of the wrong shape",
    spoil: (directory) =>
      rewriteHeader(weights(directory), (header) => {
        header[norm]!.shape = [2, 64]
      }),
    says: [norm, "128", "[2, 64]"],
  },
]

describe("a pipeline over a broken checkpoint", () => {
  for (const { name, says, spoil } of mistakes) {
    it.effect(`answers ${name} with one line, exit 2, and no result`, () =>
      Effect.gen(function* () {
        const directory = yield* temporaryStore
        const model = join(directory, "model")
        yield* Effect.promise(() => cp(base, model, { recursive: true }))
        yield* Effect.promise(() => spoil(model))
        const store = join(directory, "store")
        const outcome = yield* hila(["run", pipeline, "--store", store, "--set", `model=${model}`])
        assert.strictEqual(outcome.code, 2, outcome.error)
        assert.match(outcome.error, /^hila: [^\n]+\n$/)
        for (const word of says) assert.include(outcome.error, word)
        assert.notInclude(yield* Effect.promise(() => readdir(join(store, "actions"))), "accuracy")
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(store, "tmp"))), [])
      }),
    )
  }
})
