/** Where test material lies, and files that go away with the test. */
import * as Effect from "effect/Effect"
import { existsSync, readdirSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Safetensors, type SafetensorsError, type SafetensorsWriter } from "../../src/index.ts"

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

const microModel = (name: string) => at(`../../../../fixtures/micro/${name}`)

/** The model the micro family's specialists come from. */
export const microBase = microModel("base")

/** The four models of the micro family. */
export const micro = [microBase, ...["math", "code", "lang"].map(microModel)]

const checkpointsIn = (directory: string): ReadonlyArray<readonly [name: string, path: string]> =>
  existsSync(directory)
    ? readdirSync(directory)
        .toSorted()
        .map((name) => [name, join(directory, name)])
    : []

/** Tiny checkpoints of every architecture with reference numbers, by name; made by tools/oracles/architectures.py. */
export const architectures = checkpointsIn(at("../../../../fixtures/oracles/architectures"))

const oracles = at("../../../../../shared/oracles/architectures")

export const hasShared = existsSync(oracles)

/** Somewhat larger ones of the same architectures, where there are any. */
export const sharedArchitectures = checkpointsIn(oracles)

/** Those of them that are no decoders. */
export const encoders = new Set(["bert", "roberta", "distilbert", "xlm-roberta", "modernbert"])

/** A new directory for one test. */
export const temporary = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "hila-model-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true })),
)

/** A file of the given header text (its length in front) and a number of data bytes. */
export const fileOf = Effect.fnUntraced(function* (
  header: string | Uint8Array,
  dataBytes: number,
  length?: bigint,
) {
  const path = join(yield* temporary, "model.safetensors")
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header
  const prefix = new DataView(new ArrayBuffer(8))
  prefix.setBigUint64(0, length ?? BigInt(json.length), true)
  yield* Effect.promise(() =>
    writeFile(path, Buffer.concat([Buffer.from(prefix.buffer), json, new Uint8Array(dataBytes)])),
  )
  return path
})

/** The bytes of another checkpoint's tensors, in two chunks each. */
export const copyOf =
  (tensors: ReadonlyMap<string, Safetensors.TensorInfo>): SafetensorsWriter.Data<SafetensorsError, never> =>
  (info, write) =>
    Effect.gen(function* () {
      const source = tensors.get(info.name)!
      const half = Math.floor(source.byteLength / 2)
      yield* write(yield* Safetensors.read(source, { start: 0, length: half }))
      yield* write(yield* Safetensors.read(source, { start: half, length: source.byteLength - half }))
    })
