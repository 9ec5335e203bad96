/** Checkpoints written tensor by tensor, and what a merge of two of them, half and half, gives or says. */
import { mergePrepared, Prepared } from "@hila/merge/Recipe"
import { Checkpoint, Dtype, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { assert } from "@effect/vitest"
import { random, scratch } from "./support.ts"

export interface Stored {
  readonly dtype: Dtype.Dtype
  readonly shape: ReadonlyArray<number>
  readonly values: ReadonlyArray<number>
}
export type Tensors = Readonly<Record<string, Stored>>

/** Values of a tensor, drawn by a seed. */
export const floats = (seed: number, ...shape: ReadonlyArray<number>): Stored => {
  const next = random(seed)
  const size = shape.reduce((product, extent) => product * extent, 1)
  return { dtype: "F32", shape, values: Array.from({ length: size }, () => Math.fround(next() - 0.5)) }
}

const bytesOf = ({ dtype, values }: Stored): Uint8Array =>
  Dtype.isFloat(dtype)
    ? Dtype.fromFloat32(Float32Array.from(values), dtype)
    : new Uint8Array(BigInt64Array.from(values, BigInt).buffer)

export const write = Effect.fnUntraced(function* (directory: string, config: object, tensors: Tensors) {
  yield* Effect.promise(() => mkdir(directory, { recursive: true }))
  yield* Effect.promise(() => writeFile(join(directory, "config.json"), JSON.stringify(config)))
  yield* SafetensorsWriter.write(join(directory, "model.safetensors"), {
    tensors: Object.entries(tensors).map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    data: ({ name }, put) => put(bytesOf(tensors[name]!)),
  })
  return yield* Checkpoint.open(directory)
})

export const recipe = `merge_method: linear
models:
  - {model: a, parameters: {weight: 0.5}}
  - {model: b, parameters: {weight: 0.5}}
`

type Model = readonly [config: object, tensors: Tensors]

/** Merges two models half and half: the result's tensors, its config.json, and the notes of pre-flight. */
export const merged = Effect.fnUntraced(function* ([configA, a]: Model, [configB, b]: Model, text = recipe) {
  const directory = yield* scratch
  yield* write(join(directory, "a"), configA, a)
  yield* write(join(directory, "b"), configB, b)
  const file = join(directory, "recipe.yml")
  yield* Effect.promise(() => writeFile(file, text))
  const prepared = yield* Prepared.fromFile(file)
  const out = join(directory, "out")
  const result = yield* mergePrepared(prepared, out, { digests: false })
  const values: Record<string, ReadonlyArray<number>> = {}
  for (const [name, { dtype }] of result.tensors)
    if (Dtype.isFloat(dtype)) values[name] = [...(yield* Checkpoint.readFloat32(result, name))]
  const config = yield* Effect.promise(() => readFile(join(out, "config.json"), "utf8"))
  return { notes: prepared.notes, values, names: [...result.tensors.keys()], config }
})

/** The one line that a merge is refused with. */
export const refusal = (...models: Parameters<typeof merged>) =>
  Effect.map(Effect.flip(merged(...models)), ({ blame, message }) => {
    assert.strictEqual(blame, "input")
    return message.slice(message.indexOf("recipe.yml"))
  })
