/**
 * The equations of one tensor for the methods that solve them: `regmean` and `factored`, whose files say what they are.
 */
import { at, known } from "@hila/core/Lookup"
import { Dtype, Safetensors, type SafetensorsError, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import { type Factor, meanDiagonal } from "./dense/Factor.ts"
import { type Forms, type Work, workspaceBytes } from "./dense/Work.ts"
import * as Definition from "../methods/Definition.ts"
import { definition as factored } from "../methods/Factored.ts"
import { definition as regmean } from "../methods/RegMean.ts"
import type { OutputTensor } from "../plan/Plan.ts"
import type { Factors } from "../plan/Statistics.ts"

type Info = Safetensors.TensorInfo

/** A tensor that is solved. */
export interface Equations {
  readonly tensor: OutputTensor
  readonly factors: ReadonlyArray<Factors>
  /** As the equations see it: [out, in]. */
  readonly rows: number
  readonly columns: number
}

/** The equations of a tensor of the result, if it has any. */
export const of = (tensor: OutputTensor): Equations | undefined => {
  const { shape, statistics } = tensor
  if (statistics.equations === undefined) return undefined
  const [first = 1, second = 1] = shape
  const [rows, columns] = statistics.transposed ? [second, first] : [first, second]
  return { tensor, factors: statistics.equations, rows, columns }
}

const formOf = ({ shape: [a = 0, b, c] }: Info): Pick<Factor, "blocks" | "size"> => {
  if (b === undefined) return { blocks: a, size: 1 }
  return c === undefined ? { blocks: 1, size: a } : { blocks: a, size: b }
}

/** The forms of a tensor's factors. */
const formsOf = ({ factors }: Equations): Forms => {
  const terms = factors.flatMap((own) => own.terms)
  const closed = terms.every(({ left }) => left === undefined)
  if (closed) return { _tag: "Regression", inputs: terms.map(({ right }) => formOf(right)) }
  return {
    _tag: "Kronecker",
    terms: terms.map(({ left, right }) => ({
      left: left === undefined ? { blocks: 0, size: 1 } : formOf(left),
      right: formOf(right),
    })),
  }
}

/** The most memory that a tensor's equations need while they are solved, and of it what must be in one piece. */
export const bytesOf = (equations: Equations): { readonly all: number; readonly space: number } => {
  const { columns, factors, rows, tensor } = equations
  const space = workspaceBytes(rows, columns, formsOf(equations))
  const held = factors
    .flatMap(({ terms }) => terms.flatMap(({ left, right }) => [left, right]))
    .reduce((sum, info) => sum + (info?.byteLength ?? 0), 0)
  return { all: space + held + 4 * (tensor.models.length + 4) * rows * columns, space }
}

/** Reads a tensor's weights and statistics and makes its equations. */
export const read = Effect.fnUntraced(function* ({
  columns,
  factors,
  rows,
  tensor,
}: Equations): Effect.fn.Return<Work, SafetensorsError> {
  const { base, method, statistics, values } = tensor
  const weights = (info: Info) =>
    Effect.map(readFloats(info), (read) => (statistics.transposed ? turned(read, columns, rows) : read))
  const models = yield* Effect.forEach(tensor.models, weights)
  const factor = (info: Info) =>
    Effect.map(WeightStatistics.read(info), (read): Factor => ({ ...formOf(info), values: read }))
  const terms = yield* Effect.forEach(
    factors.flatMap((own, model) => own.terms.map((term) => ({ ...term, model }))),
    ({ left, model, right }) =>
      Effect.gen(function* () {
        const own = left === undefined ? undefined : yield* factor(left)
        return { model, left: own, right: yield* factor(right) }
      }),
  )
  const shape = { rows, columns, models }
  if (method === "regmean" || base === undefined) {
    const { alpha, weight: shares } = Definition.valuesOf(regmean, values)
    const inputs = terms.map(({ right }) => right)
    const job = { weights: shares, alpha, towards: average(models, shares), ridge: 0 }
    return { _tag: "Regression", job: { ...shape, inputs, ...job } }
  }
  const isEmbedding = factors.some((own) => own.terms.some(({ left }) => left?.name.endsWith(".frequency")))
  const params = Definition.valuesOf(factored, values)
  const lambda = isEmbedding ? params.lambda_rest : params.lambda
  const towards = taskArithmetic(yield* weights(base), models, lambda)
  const scale =
    terms.reduce(
      (sum, { left, right }) => sum + (left === undefined ? 1 : meanDiagonal(left)) * meanDiagonal(right),
      0,
    ) / models.length
  const ridge = params.rho * scale
  if (terms.every(({ left }) => left === undefined)) {
    const inputs = terms.map(({ right }) => right)
    const job = { weights: models.map(() => 1), alpha: 1, towards, ridge }
    return { _tag: "Regression", job: { ...shape, inputs, ...job } }
  }
  const both = terms.flatMap(({ left, ...term }) => (left === undefined ? [] : [{ ...term, left }]))
  const job = { iterations: Math.floor(params.iterations), tolerance: params.tolerance }
  return { _tag: "Kronecker", job: { ...shape, terms: both, towards, ridge, ...job } }
})

/** What was solved, as the tensor is stored. */
export const stored = ({ columns, rows, tensor }: Equations, solved: Float32Array): Float32Array =>
  tensor.statistics.transposed ? turned(solved, rows, columns) : solved

const readFloats = (info: Info) =>
  Effect.map(Safetensors.read(info), (bytes) =>
    Dtype.isFloat(info.dtype) ? Dtype.toFloat32(bytes, info.dtype) : new Float32Array(),
  )

/** The transpose of `[rows, columns]`. */
const turned = (values: Float32Array, rows: number, columns: number): Float32Array => {
  const out = new Float32Array(values.length)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) out[j * rows + i] = known(values[i * columns + j])
  return out
}

const average = (models: ReadonlyArray<Float32Array>, weights: ReadonlyArray<number>): Float32Array => {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return Float32Array.from(
    at(models, 0),
    (_, i) => models.reduce((sum, model, t) => sum + known(weights[t]) * known(model[i]), 0) / total,
  )
}

const taskArithmetic = (
  base: Float32Array,
  models: ReadonlyArray<Float32Array>,
  lambda: number,
): Float32Array =>
  base.map((from, i) => from + lambda * models.reduce((sum, model) => sum + (known(model[i]) - from), 0))
