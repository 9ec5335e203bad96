/**
 * Where the numbers of unit tables and the bits of masks lie in tensors.
 *
 * Checks that tables and masks are of the models at hand, and turns unit weights into coefficients of rows and columns,
 * with what the tensors outside every unit get.
 */
import { at, entryOr, known } from "@hila/core/Lookup"
import { Architecture, type Checkpoint, type Safetensors, type Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import type { UnitSpan } from "../engine/Method.ts"
import type { Mask } from "./Mask.ts"
import { MergeError } from "../MergeError.ts"
import * as Region from "./Region.ts"
import * as UnitCheck from "./UnitCheck.ts"
import * as UnitWeights from "./UnitWeights.ts"

/**
 * What tensors outside every unit get. `"mean"`: a layer's norms and biases the mean coefficient of the layer's units,
 * all others 1; `"uniform"`: 1 everywhere; `"base"`: the base's weights.
 */
export type Residual = "mean" | "uniform" | "base"

/** Fails unless a mask divides this model by its units and has the bits of every tensor that they divide. */
export const checkMask = Effect.fnUntraced(function* (
  method: string,
  input: string,
  mask: Mask,
  scheme: string,
  units: ReadonlyArray<Unit.Unit>,
  plan: ReadonlyArray<Pick<Safetensors.TensorInfo, "name" | "shape">>,
) {
  yield* UnitCheck.matches(method, input, { expected: scheme, got: mask.scheme }, mask.units, units)
  const slices = UnitCheck.slicesByTensor(units)
  for (const { name, shape } of plan) {
    if (!slices.has(name)) continue
    const { columns, rows } = Region.gridOf(shape)
    const expected = `U8 [${rows}, ${Region.maskStride(columns)}]`
    const bits = mask.tensors.get(name)
    const got = bits === undefined ? "none" : `${bits.dtype} [${bits.shape.join(", ")}]`
    if (got === expected) continue
    const problem = `expected bits ${expected}, got ${got} (${mask.path})`
    return yield* new MergeError({ method, input, tensor: name, problem })
  }
})

/** Fails unless a table has as many weights in each row as there are experts. */
export const checkExperts = (
  method: string,
  input: string,
  table: {
    readonly experts: number
    readonly rows: ReadonlyArray<{ readonly name: string; readonly weights: ReadonlyArray<number> }>
  },
  experts: number,
): Effect.Effect<void, MergeError> => {
  if (table.experts !== experts) {
    const problem = `made for ${table.experts} experts, got ${experts} experts`
    return Effect.fail(new MergeError({ method, input, problem }))
  }
  const wrong = table.rows.find((row) => row.weights.length !== experts)
  if (wrong === undefined) return Effect.void
  const problem = `${wrong.name} has ${wrong.weights.length} weights, expected ${experts}`
  return Effect.fail(new MergeError({ method, input, problem }))
}

/** The coefficients of a tensor by runs of its rows or columns. */
export type SpansOf = (name: string, shape: ReadonlyArray<number>) => ReadonlyArray<UnitSpan>

/** The coefficients that a table of this checkpoint's units gives every tensor. */
export const spansOf = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  units: ReadonlyArray<Unit.Unit>,
  table: UnitWeights.UnitWeights,
  residual: Residual,
) {
  const slices = UnitCheck.slicesByTensor(units)
  const coefficients = table.rows.map((row) => UnitWeights.coefficients(table, row)) // [units][experts]
  const outside = yield* residualCoefficients(base, units, coefficients, table.experts, residual)
  const spans: SpansOf = (name, shape) => {
    const inside = slices.get(name)
    if (inside === undefined) return [whole(shape, outside(name))]
    const own = inside.map(({ slice: { axis, end, start }, unit }) => ({
      axis,
      start,
      end,
      weights: at(coefficients, unit),
    }))
    return [...own, ...gaps(own, Region.gridOf(shape), table.experts)]
  }
  return spans
})

/** The scales of the masks' units as coefficients of the rows and columns of a tensor; none where all are 1. */
export const scalesOf = (
  masks: ReadonlyArray<Mask | undefined>,
  unitsOf: (mask: Mask) => ReadonlyArray<Unit.Unit>,
): SpansOf => {
  const found = new Map<string, Array<UnitSpan>>()
  for (const [expert, mask] of masks.entries()) {
    if (mask?.units.some(({ scale = 1 }) => scale !== 1) !== true) continue
    for (const [at, { slices }] of unitsOf(mask).entries()) {
      const weights = masks.map((_, of) => (of === expert ? (known(mask.units[at]).scale ?? 1) : 1))
      for (const { axis, end, start, tensor } of slices)
        found.set(tensor, [...entryOr(found, tensor, []), { axis, start, end, weights }])
    }
  }
  return (name) => entryOr(found, name, [])
}

/** One coefficient per expert for a whole tensor. */
export const whole = (shape: ReadonlyArray<number>, weights: ReadonlyArray<number>): UnitSpan => ({
  axis: 0,
  start: 0,
  end: Region.gridOf(shape).rows,
  weights,
})

/** The rows or columns between the slices of units, which stay the base's. */
const gaps = (
  spans: ReadonlyArray<UnitSpan>,
  { columns, rows }: Region.Grid,
  experts: number,
): ReadonlyArray<UnitSpan> => {
  const axis = at(spans, 0).axis
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

/** The coefficient of each expert for a tensor outside every unit, by name. */
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
  const layers = shape.layers.map(({ output }, layer) => {
    const own = coefficients.filter((_row, unit) => at(units, unit).layer === layer)
    return {
      prefix: layerPrefix(output.weight, layer),
      means: everywhere.map(
        (_one, expert) => own.reduce((sum, row) => sum + at(row, expert), 0) / own.length,
      ),
    }
  })
  return (name: string) => layers.find(({ prefix }) => name.startsWith(prefix))?.means ?? everywhere
})

/** `"model.layers.3."` of `"model.layers.3.self_attn.o_proj.weight"`: what all names of the layer begin with. */
const layerPrefix = (name: string, layer: number): string => {
  const mark = `.${layer}.`
  return name.slice(0, name.indexOf(mark) + mark.length)
}
