/**
 * Gates of an interpolated model: how far each unit's weights are on the way from base (0) to expert (1).
 */
import * as GateSpans from "./GateSpans.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { Unit } from "../units/Unit.ts"

export interface InterpolatedGates {
  /** [layers, heads]: query rows and output columns of each query head */
  readonly queryHeads: Float32Array
  /** [layers, kvHeads]: key and value rows of each key-value head */
  readonly kvHeads: Float32Array
  /** [layers] */
  readonly mlp: Float32Array
  /** Every tensor outside the units. */
  readonly residual: number
}

/** Every gate at `value`, the residual's included: 0 is the base model, 1 the expert. */
export const filled = (shape: ModelShape, value: number): InterpolatedGates => ({
  queryHeads: new Float32Array(shape.layers.length * shape.heads).fill(value),
  kvHeads: new Float32Array(shape.layers.length * shape.kvHeads).fill(value),
  mlp: new Float32Array(shape.layers.length).fill(value),
  residual: value,
})

/** What is wrong with gates that are not one per unit of the model; undefined where nothing is. */
export const misfit = (
  { kvHeads, mlp, queryHeads }: InterpolatedGates,
  shape: ModelShape,
): string | undefined => {
  const sizes = [queryHeads.length, kvHeads.length, mlp.length]
  const expected = [
    shape.layers.length * shape.heads,
    shape.layers.length * shape.kvHeads,
    shape.layers.length,
  ]
  return sizes.every((size, i) => size === expected[i])
    ? undefined
    : `gates: expected ${expected.join(", ")} numbers (query heads, key-value heads, MLPs), got ${sizes.join(", ")}`
}

/** The gates with those of one unit (see `GateSpans`) at `value`. */
export const set = (
  gates: InterpolatedGates,
  shape: ModelShape,
  unit: Pick<Unit, "kind" | "layer" | "index">,
  value: number,
): InterpolatedGates => {
  const spans = GateSpans.of(shape, unit)
  return {
    queryHeads: gates.queryHeads.slice().fill(value, ...spans.queryHeads),
    kvHeads: gates.kvHeads.slice().fill(value, ...spans.kvHeads),
    mlp: gates.mlp.slice().fill(value, ...spans.mlp),
    residual: gates.residual,
  }
}

/**
 * The derivative of a loss along a unit, its gates moving together: the sum of the derivatives with respect to each of
 * them (see `GateSpans`).
 */
export const along = (
  gradient: Omit<InterpolatedGates, "residual">,
  shape: ModelShape,
  unit: Pick<Unit, "kind" | "layer" | "index">,
): number => {
  const spans = GateSpans.of(shape, unit)
  return [
    ...gradient.mlp.subarray(...spans.mlp),
    ...gradient.kvHeads.subarray(...spans.kvHeads),
    ...gradient.queryHeads.subarray(...spans.queryHeads),
  ].reduce((sum, value) => sum + value)
}

export { set as with }
