/**
 * Extracts a LoRA adapter from a fine-tuned model: the difference of each linear layer and embedding to the base, to a
 * small rank.
 *
 * W_1 − W_0 ≈ B A with B = U √s and A = √s Vᵀ, written as PEFT reads it (lora_alpha equals the rank, so the factor is
 * 1); of what is stored [in, out], the transpose. What PEFT cannot adapt (norms, biases, tied embeddings) is left out
 * and told, with its share of the difference.
 */
import { at, known } from "@hila/core/Lookup"
import { Checkpoint, CheckpointError, Dtype, Safetensors, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { resolve } from "node:path"
import * as Stored from "../adapters/Stored.ts"
import { isFree } from "../internal/disk.ts"
import { MergeError } from "../MergeError.ts"
import * as Naming from "../names/Naming.ts"
import * as Numbers from "../plan/Numbers.ts"
import * as Ties from "../names/Ties.ts"
import * as View from "../names/View.ts"
import * as TensorName from "../names/TensorName.ts"
import * as LoraFiles from "./LoraFiles.ts"
import * as LowRank from "../adapters/LowRank.ts"

/** A tensor that differs and is not in the adapter, and why. */
export interface LeftOut {
  readonly tensor: string
  readonly reason: string
  /** ‖W_1 − W_0‖² over that of the whole model, 0 to 1; undefined where the two have other rows. */
  readonly share: number | undefined
}

/** What was extracted, which tensors that differ were left out, and how much of the difference the adapter holds. */
export interface Extraction {
  readonly layers: ReadonlyArray<LoraFiles.Extracted>
  readonly leftOut: ReadonlyArray<LeftOut>
  /** 1 − ‖what is lost‖² / ‖W_1 − W_0‖² over all tensors, 0 to 1. */
  readonly held: number
}

/** What an adapter says of its base, and what may be left out. */
export interface Options extends LoraFiles.BaseName {
  /** Leaves embedding and head out where their rows differ, instead of failing. */
  readonly skipVocabulary?: boolean | undefined
}

const fail = (problem: string, tensor?: string) =>
  new MergeError({
    method: "extract-lora",
    input: "models",
    ...(tensor === undefined ? {} : { tensor }),
    problem,
  })

/** Writes the adapter of the model `written` over `base` into the new directory `directory`; `rank` is the greatest, at least 1. */
export const extractLora = Effect.fn("extractLora")(function* (
  base: Checkpoint.Checkpoint,
  written: Checkpoint.Checkpoint,
  rank: number,
  directory: string,
  options: Options = {},
): Effect.fn.Return<Extraction, MergeError | CheckpointError | SafetensorsError> {
  if (!Number.isInteger(rank) || rank < 1) {
    return yield* new MergeError({
      method: "extract-lora",
      input: "rank",
      problem: `expected a whole number of at least 1, got ${rank}`,
    })
  }
  // Before minutes of arithmetic, not after them.
  if (!(yield* LoraFiles.attemptAt(resolve(directory))(() => isFree(resolve(directory))))) {
    const problem = "is not empty: name a new directory"
    return yield* new CheckpointError({ path: resolve(directory), problem, blame: "input" })
  }
  yield* Numbers.checkModel("extract-lora", "base", base)
  yield* Numbers.checkModel("extract-lora", "model", written)
  const names = Naming.correspondence([...base.tensors.keys()], [...written.tensors.keys()])
  const model =
    names === undefined ? written : View.apply(written, new Map([...names].map(([name, as]) => [as, name])))
  const stored = yield* Stored.of(base)
  const copies = yield* Ties.copies(model)
  const layers: Array<LoraFiles.Factors & { readonly energy: number }> = []
  const left: Array<{ readonly tensor: string; readonly reason: string; readonly energy?: number }> = []
  for (const [name, info] of base.tensors) {
    const other = model.tensors.get(name)
    if (stored.tied && Ties.isHead(name) && (other === undefined || copies.has(name))) continue
    if (other === undefined)
      return yield* fail("the model lacks it; it must be fine-tuned from the base", name)
    if (other.shape.join() !== info.shape.join()) {
      if (!isVocabulary(stored, name) || options.skipVocabulary !== true)
        return yield* fail(shapeProblem(stored, name, info.shape, other.shape), name)
      left.push({ tensor: name, reason: "other rows than the base's" })
      continue
    }
    if (!Dtype.isFloat(info.dtype) || !Dtype.isFloat(other.dtype)) {
      if (!(yield* Safetensors.sameBytes(info, other))) left.push({ tensor: name, reason: "integers" })
      continue
    }
    const delta = yield* deltaOf(base, model, name)
    const energy = energyOf(delta)
    if (energy === 0) continue
    const reason = reasonNot(stored, name, info.shape)
    if (reason !== undefined) left.push({ tensor: name, reason, energy })
    else layers.push({ ...factorsOf(stored, name, info.shape, delta, rank), energy })
  }
  for (const [name, info] of model.tensors) {
    if (base.tensors.has(name) || copies.has(name) || !Dtype.isFloat(info.dtype)) continue
    const beside = stored.tied && Ties.isHead(name) ? stored.embedding : undefined
    const delta = yield* deltaOf(base, model, name, beside)
    const energy = energyOf(delta)
    const reason = beside === undefined ? "not in the base" : "tied to the embedding in the base"
    if (energy > 0) left.push({ tensor: name, reason, energy })
  }
  if (layers.length === 0) return yield* fail("no linear layer or embedding differs from the base")
  yield* LoraFiles.write(directory, { base, layers, rank, stored, name: options })
  const outside = left.reduce((sum, { energy = 0 }) => sum + energy, 0)
  const all = layers.reduce((sum, { energy }) => sum + energy, outside)
  const lost = layers.reduce((sum, { energy, error }) => sum + energy * error ** 2, outside)
  return {
    layers: layers.map(({ error, rank: of, tensor }) => ({ tensor, rank: of, error })),
    leftOut: left.map(({ energy, reason, tensor }) => ({
      tensor,
      reason,
      share: energy === undefined ? undefined : energy / all,
    })),
    held: 1 - lost / all,
  }
})

const isVocabulary = (stored: Stored.Stored, name: string) =>
  name === stored.embedding || TensorName.isHead(name)

const shapeProblem = (
  stored: Stored.Stored,
  name: string,
  base: ReadonlyArray<number>,
  model: ReadonlyArray<number>,
) =>
  isVocabulary(stored, name) && base[0] !== model[0]
    ? `has ${model[0]} rows, the base ${base[0]}: an adapter adds no rows to a vocabulary: resize the base first ` +
      `(resize_token_embeddings(${model[0]})), or leave embedding and head out with --skip-vocabulary`
    : `shape [${model.join(", ")}], expected [${base.join(", ")}] as in the base`

/** Why a tensor that differs cannot be adapted, or undefined where it can. */
const reasonNot = (stored: Stored.Stored, name: string, shape: ReadonlyArray<number>): string | undefined => {
  if (stored.tied && isVocabulary(stored, name)) return "embedding and head are tied"
  if (stored.kind(name) !== undefined && shape.length === 2) return undefined
  if (/(?:^|\.)bias$/.test(name)) return "a bias"
  return shape.length === 1 ? "a norm or another vector" : "no linear layer or embedding"
}

/** W_1 − W_0 in f64; fails where either holds what is not finite. `beside` is what stands for a tensor the base lacks. */
const deltaOf = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  model: Checkpoint.Checkpoint,
  name: string,
  beside: string | undefined = base.tensors.has(name) ? name : undefined,
) {
  const to = yield* Checkpoint.readFloat32(model, name)
  const read =
    beside === undefined ? new Float32Array(to.length) : yield* Checkpoint.readFloat32(base, beside)
  const from = read.length === to.length ? read : new Float32Array(to.length)
  const delta = Float64Array.from(to, (value, i) => value - at(from, i))
  const odd = delta.findIndex((value) => !Number.isFinite(value))
  if (odd === -1) return delta
  const [whose, value] = Number.isFinite(at(from, odd)) ? ["the model", to[odd]] : ["the base", from[odd]]
  return yield* fail(`element ${odd} of ${whose} is ${value}; weights must be finite`, name)
})

const energyOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value * value, 0)

/** The factors of a difference, of its transpose where the layer computes with that. */
const factorsOf = (
  stored: Stored.Stored,
  tensor: string,
  [rows = 0, columns = 0]: ReadonlyArray<number>,
  values: Float64Array,
  rank: number,
): LoraFiles.Factors => {
  const { singular, u, v } = LowRank.decompose({ rows, columns, values }, rank)
  const width = singular.length
  const left = new Float32Array(rows * rank) // [rows, rank]
  const right = new Float32Array(rank * columns) // [rank, columns]
  for (let k = 0; k < width; k++) {
    const root = Math.sqrt(known(singular[k]))
    for (let i = 0; i < rows; i++) left[i * rank + k] = root * known(u.values[i * width + k])
    for (let j = 0; j < columns; j++) right[k * columns + j] = root * known(v.values[j * width + k])
  }
  const error = Math.sqrt(remainder(values, left, right, rank) / energyOf(values))
  const kind = stored.kind(tensor) ?? "linear"
  const transposed = kind === "embedding" || stored.transposed(tensor) === true
  return transposed
    ? {
        tensor,
        kind,
        rank: width,
        error,
        in: rows,
        out: columns,
        a: LowRank.turned(left, rows, rank),
        b: LowRank.turned(right, rank, columns),
      }
    : { tensor, kind, rank: width, error, in: columns, out: rows, a: right, b: left }
}

/** ‖D − left · right‖², row by row, with the factors as they are written. */
const remainder = (values: Float64Array, left: Float32Array, right: Float32Array, rank: number): number => {
  const columns = right.length / rank
  const row = new Float64Array(columns)
  let sum = 0
  for (let i = 0; i < values.length / columns; i++) {
    row.set(values.subarray(i * columns, (i + 1) * columns))
    for (let k = 0; k < rank; k++) {
      const factor = known(left[i * rank + k])
      if (factor !== 0)
        for (let j = 0; j < columns; j++) row[j] = known(row[j]) - factor * known(right[k * columns + j])
    }
    sum += energyOf(row)
  }
  return sum
}
