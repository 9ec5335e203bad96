/**
 * Extracts a LoRA adapter from a fine-tuned model: the difference of each linear layer to the base, to a small rank.
 *
 * W_1 − W_0 ≈ B A with B = U √s and A = √s Vᵀ, written as PEFT reads it (lora_alpha equals the rank, so the factor is 1).
 * What is no matrix of a linear layer (embeddings, norms, head, biases) is left out and said.
 */
import {
  Checkpoint,
  CheckpointError,
  Dtype,
  Safetensors,
  type SafetensorsError,
  SafetensorsWriter,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { mkdir, rename, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { MergeError } from "../MergeError.ts"
import * as Numbers from "../preflight/Numbers.ts"
import * as TensorName from "../recipe/TensorName.ts"
import { isFree } from "../internal/disk.ts"
import * as LowRank from "./LowRank.ts"

/** One layer's adapter: its rank, and ‖W_1 − W_0 − B A‖ / ‖W_1 − W_0‖. */
export interface Extracted {
  readonly tensor: string
  readonly rank: number
  readonly error: number
}

/** What was extracted, and which tensors that differ were left out. */
export interface Extraction {
  readonly layers: ReadonlyArray<Extracted>
  readonly leftOut: ReadonlyArray<string>
}

interface Factors extends Extracted {
  readonly a: Float32Array // [rank, in]
  readonly b: Float32Array // [out, rank]
  readonly shape: readonly [number, number]
}

/** Writes the adapter of `model` over `base` into the new directory `directory`; `rank` is the greatest, at least 1. */
export const extractLora = Effect.fn("extractLora")(function* (
  base: Checkpoint.Checkpoint,
  model: Checkpoint.Checkpoint,
  rank: number,
  directory: string,
): Effect.fn.Return<Extraction, MergeError | CheckpointError | SafetensorsError> {
  if (!Number.isInteger(rank) || rank < 1) {
    return yield* new MergeError({
      method: "extract-lora",
      input: "rank",
      problem: `expected a whole number of at least 1, got ${rank}`,
    })
  }
  // Before minutes of arithmetic, not after them.
  if (!(yield* attemptAt(resolve(directory))(() => isFree(resolve(directory))))) {
    const problem = "is not empty: name a new directory"
    return yield* new CheckpointError({ path: resolve(directory), problem, blame: "input" })
  }
  yield* Numbers.checkModel("extract-lora", "base", base)
  yield* Numbers.checkModel("extract-lora", "model", model)
  const layers: Array<Factors> = []
  const leftOut: Array<string> = []
  for (const [name, info] of base.tensors) {
    const other = model.tensors.get(name)
    const refuse = (problem: string) =>
      new MergeError({ method: "extract-lora", input: "models", tensor: name, problem })
    if (other === undefined) return yield* refuse("the model lacks it; it must be fine-tuned from the base")
    if (other.shape.join() !== info.shape.join()) {
      return yield* refuse(
        `shape [${other.shape.join(", ")}], expected [${info.shape.join(", ")}] as in the base`,
      )
    }
    if (!Dtype.isFloat(info.dtype) || !Dtype.isFloat(other.dtype)) {
      if (!(yield* Safetensors.sameBytes(info, other))) leftOut.push(name)
      continue
    }
    const [from, to] = [yield* Checkpoint.readFloat32(base, name), yield* Checkpoint.readFloat32(model, name)]
    const delta = Float64Array.from(to, (value, i) => value - from[i]!)
    const odd = delta.findIndex((value) => !Number.isFinite(value))
    if (odd !== -1) {
      const [whose, value] = Number.isFinite(from[odd]!) ? ["the model", to[odd]] : ["the base", from[odd]]
      return yield* refuse(`element ${odd} of ${whose} is ${value}; weights must be finite`)
    }
    if (delta.every((value) => value === 0)) continue
    const [rows, columns] = info.shape
    const linear =
      info.shape.length === 2 && name.endsWith(".weight") && TensorName.layerOf(name) !== undefined
    if (!linear || rows === undefined || columns === undefined) leftOut.push(name)
    else layers.push(factorsOf(name, { rows, columns, values: delta }, rank))
  }
  leftOut.push(...[...model.tensors.keys()].filter((name) => !base.tensors.has(name)))
  if (layers.length === 0) {
    return yield* new MergeError({
      method: "extract-lora",
      input: "models",
      problem: "no linear layer differs from the base",
    })
  }
  yield* writeAdapter(directory, layers, rank)
  return { layers: layers.map(({ error, rank: of, tensor }) => ({ tensor, rank: of, error })), leftOut }
})

const factorsOf = (tensor: string, delta: LowRank.Matrix, rank: number): Factors => {
  const { singular, u, v } = LowRank.decompose(delta, rank)
  const width = singular.length
  const { columns, rows } = delta
  const a = new Float32Array(rank * columns)
  const b = new Float32Array(rows * rank)
  for (let k = 0; k < width; k++) {
    const root = Math.sqrt(singular[k]!)
    for (let j = 0; j < columns; j++) a[k * columns + j] = root * v.values[j * width + k]!
    for (let i = 0; i < rows; i++) b[i * rank + k] = root * u.values[i * width + k]!
  }
  const product = LowRank.multiply(
    { rows, columns: rank, values: Float64Array.from(b) },
    { rows: rank, columns, values: Float64Array.from(a) },
  )
  let [left, all] = [0, 0]
  for (const [i, value] of delta.values.entries()) {
    left += (value - product.values[i]!) ** 2
    all += value * value
  }
  return { tensor, rank: width, error: Math.sqrt(left / all), a, b, shape: [rows, columns] }
}

/** Calls of the file system about the adapter's directory. */
const attemptAt =
  (path: string) =>
  <A>(call: () => Promise<A>) =>
    Effect.tryPromise({
      try: call,
      catch: (cause) => {
        const code = cause instanceof Error && "code" in cause ? cause.code : undefined
        const taken = code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR"
        const problem = taken ? "is not empty: name a new directory" : String(cause)
        return new CheckpointError({ path, problem, blame: taken ? "input" : "system" })
      },
    })

const writeAdapter = Effect.fnUntraced(function* (
  directory: string,
  layers: ReadonlyArray<Factors>,
  rank: number,
) {
  const path = resolve(directory)
  const temporary = `${path}.${process.pid}.tmp`
  const attempt = attemptAt(path)
  const module = (tensor: string) => tensor.slice(0, -".weight".length)
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    base_model_name_or_path: null,
    r: rank,
    lora_alpha: rank,
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    target_modules: [...new Set(layers.map(({ tensor }) => module(tensor).split(".").at(-1)))],
  }
  const data = new Map<string, Float32Array>()
  const tensors: Array<SafetensorsWriter.TensorSpec> = []
  for (const { a, b, shape, tensor } of layers) {
    const prefix = `base_model.model.${module(tensor)}`
    for (const [name, values, size] of [
      [`${prefix}.lora_A.weight`, a, [rank, shape[1]]],
      [`${prefix}.lora_B.weight`, b, [shape[0], rank]],
    ] as const) {
      data.set(name, values)
      tensors.push({ name, dtype: "F32", shape: size })
    }
  }
  const fill = Effect.gen(function* () {
    yield* attempt(() => mkdir(temporary, { recursive: true }))
    yield* attempt(() =>
      writeFile(join(temporary, "adapter_config.json"), `${JSON.stringify(config, null, 2)}\n`),
    )
    yield* SafetensorsWriter.write(join(temporary, "adapter_model.safetensors"), {
      metadata: { format: "pt" },
      tensors,
      data: ({ name }, write) => write(Dtype.fromFloat32(data.get(name)!, "F32")),
    })
    yield* attempt(() => rename(temporary, path))
  })
  yield* Effect.onExit(fill, (exit) =>
    Exit.isSuccess(exit)
      ? Effect.void
      : Effect.ignore(attempt(() => rm(temporary, { recursive: true, force: true }))),
  )
})
