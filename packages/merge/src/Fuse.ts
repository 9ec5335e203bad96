/**
 * Adaptive fusion: the base plus every expert's pruned task vector, weighted unit by unit.
 *
 * Where a unit matters to one expert more than to the others, that expert has the larger share there. With equal
 * shares and full masks this is task arithmetic, bit for bit.
 */
import { Architecture, type Checkpoint, type Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Coefficients from "./Coefficients.ts"
import * as Engine from "./engine/Engine.ts"
import type { UnitSpan } from "./engine/Method.ts"
import type { Mask } from "./Mask.ts"
import { MergeError } from "./MergeError.ts"
import * as Preflight from "./Preflight.ts"
import * as Region from "./Region.ts"
import * as TaskVectors from "./TaskVectors.ts"
import * as UnitCheck from "./UnitCheck.ts"
import type { UnitWeights } from "./UnitWeights.ts"

/**
 * What tensors outside every unit get. `"mean"`: a layer's norms and biases the mean share of the layer's units, all
 * others 1/K; `"uniform"`: 1/K everywhere; `"base"`: the base's weights.
 */
export type Residual = "mean" | "uniform" | "base"

/** Options of `fuse`. */
export interface FuseParams {
  /** Finite; 0 gives the base. With shares of 1/K it is the λ of task arithmetic. */
  readonly lambda: number
  /** `"mean"` by default. */
  readonly residual?: Residual | undefined
  /** Scalars per chunk and model; the result does not depend on it. */
  readonly chunk?: number | undefined
}

const method = "fuse"

/**
 * W_u = W_{0,u} + λ Σ_t K w_{t,u} (m_{t,u} ⊙ (W_{t,u} − W_{0,u})) for every unit u, written as a checkpoint into the new
 * directory `directory`; `residual` says what the tensors outside the units get.
 *
 * K experts in the order of `weights`; one mask per expert, or none at all for unpruned task vectors. Sums in f32 in
 * the order of the experts, one rounding to the base's dtype. Config and tokenizer are the base's.
 */
export const fuse = Effect.fn("fuse")(function* (
  inputs: {
    readonly base: Checkpoint.Checkpoint
    readonly experts: ReadonlyArray<Checkpoint.Checkpoint>
    readonly masks: ReadonlyArray<Mask>
    readonly weights: UnitWeights
  },
  params: FuseParams,
  directory: string,
) {
  const { base, experts, masks, weights } = inputs
  const lambda = yield* Coefficients.finite(method, "lambda", params.lambda)
  yield* checkCounts(experts.length, masks.length, weights)
  const participants = Preflight.baseAndExperts(base, experts)
  const plan = yield* Preflight.plan(method, participants)
  const { units } = yield* UnitCheck.partition(method, weights.scheme, participants)
  const scheme = { expected: weights.scheme, got: weights.scheme }
  yield* UnitCheck.matches(method, "weights", scheme, weights.rows, units)
  for (const [expert, mask] of masks.entries())
    yield* checkMask(`mask ${expert + 1}`, mask, weights.scheme, units, plan)

  const slices = UnitCheck.slicesByTensor(units)
  const coefficients = weights.rows.map((row) => row.weights.map((weight) => weight * experts.length)) // [units][experts]
  const outside = yield* residualCoefficients(
    base,
    units,
    coefficients,
    experts.length,
    params.residual ?? "mean",
  )
  const evenly = experts.map(() => 1)
  return yield* Engine.write(directory, {
    method,
    files: base.files,
    chunk: params.chunk,
    tensors: plan.map((tensor) => {
      const { name, shape } = tensor.info
      const inside = slices.get(name)
      if (inside === undefined) return TaskVectors.sum(tensor, outside(name), lambda)
      const spans = inside.map(({ slice, unit }) => ({ ...slice, weights: coefficients[unit]! }))
      return TaskVectors.sum(tensor, evenly, lambda, {
        masks: masks.map((mask) => mask.tensors.get(name)),
        units: [...spans, ...gaps(spans, Region.gridOf(shape), experts.length)],
      })
    }),
  })
})

/** The rows or columns between the slices of units, which stay the base's. */
const gaps = (
  spans: ReadonlyArray<UnitSpan>,
  { columns, rows }: Region.Grid,
  experts: number,
): ReadonlyArray<UnitSpan> => {
  const axis = spans[0]?.axis ?? 0
  const ordered = spans.filter((span) => span.axis === axis).toSorted((a, b) => a.start - b.start)
  const weights = Array.from({ length: experts }, () => 0)
  const found: Array<UnitSpan> = []
  let covered = 0
  for (const { end, start } of [...ordered, { start: axis === 0 ? rows : columns, end: 0 }]) {
    if (start > covered) found.push({ axis, start: covered, end: start, weights })
    covered = Math.max(covered, end)
  }
  return found
}

const refuse = (input: string, problem: string, tensor?: string) =>
  new MergeError({ method, input, problem, ...(tensor === undefined ? {} : { tensor }) })

const checkCounts = Effect.fnUntraced(function* (experts: number, masks: number, weights: UnitWeights) {
  if (experts === 0) return yield* refuse("experts", "expected at least one, got none")
  if (masks !== 0 && masks !== experts) {
    return yield* refuse("masks", `expected ${experts}, one per expert, or none, got ${masks}`)
  }
  if (weights.experts !== experts) {
    return yield* refuse("weights", `made for ${weights.experts} experts, got ${experts} experts`)
  }
  const wrong = weights.rows.find((row) => row.weights.length !== experts)
  if (wrong !== undefined) {
    return yield* refuse(
      "weights",
      `unit ${wrong.unit} has ${wrong.weights.length} weights, expected ${experts}`,
    )
  }
})

/** Fails unless a mask divides this model by this scheme and has the bits of every tensor that units divide. */
const checkMask = Effect.fnUntraced(function* (
  input: string,
  mask: Mask,
  scheme: UnitWeights["scheme"],
  units: ReadonlyArray<Unit.Unit>,
  plan: ReadonlyArray<Preflight.PlannedTensor>,
) {
  yield* UnitCheck.matches(method, input, { expected: scheme, got: mask.scheme }, mask.units, units)
  const slices = UnitCheck.slicesByTensor(units)
  for (const { info } of plan) {
    if (!slices.has(info.name)) continue
    const { columns, rows } = Region.gridOf(info.shape)
    const expected = `U8 [${rows}, ${Region.maskStride(columns)}]`
    const bits = mask.tensors.get(info.name)
    const got = bits === undefined ? "none" : `${bits.dtype} [${bits.shape.join(", ")}]`
    if (got !== expected)
      return yield* refuse(input, `expected bits ${expected}, got ${got} (${mask.path})`, info.name)
  }
})

/** K w of each expert for a tensor outside every unit, by name. */
const residualCoefficients = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  units: ReadonlyArray<Unit.Unit>,
  coefficients: ReadonlyArray<ReadonlyArray<number>>, // [units][experts]
  experts: number,
  residual: Residual,
) {
  const everywhere = Array.from({ length: experts }, () => (residual === "base" ? 0 : 1))
  if (residual !== "mean") return () => everywhere
  const shape = yield* Architecture.resolve(base.config, base.tensors)
  const layers = Array.from({ length: shape.layers }, (_, layer) => {
    const own = coefficients.filter((_row, unit) => units[unit]!.layer === layer)
    return {
      prefix: layerPrefix(shape.layer(layer).output.weight, layer),
      means: everywhere.map((_one, expert) => own.reduce((sum, row) => sum + row[expert]!, 0) / own.length),
    }
  })
  return (name: string) => layers.find(({ prefix }) => name.startsWith(prefix))?.means ?? everywhere
})

/** `"model.layers.3."` of `"model.layers.3.self_attn.o_proj.weight"`: what all names of the layer begin with. */
const layerPrefix = (name: string, layer: number): string => {
  const mark = `.${layer}.`
  return name.slice(0, name.indexOf(mark) + mark.length)
}
