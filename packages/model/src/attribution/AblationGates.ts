/**
 * Ablation gates of a model: one number per query head and one per MLP, multiplied into what the unit adds to the
 * residual stream. 1 leaves the unit as it is, 0 removes it; the weights are not touched.
 */
import * as GateSpans from "./GateSpans.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { Unit } from "../units/Unit.ts"

export interface AblationGates {
  /** [layers, heads] */
  readonly heads: Float32Array
  /** [layers] */
  readonly mlp: Float32Array
}

/** Every gate at `value`. */
export const filled = (shape: ModelShape, value: number): AblationGates => ({
  heads: new Float32Array(shape.layers.length * shape.heads).fill(value),
  mlp: new Float32Array(shape.layers.length).fill(value),
})

/** What is wrong with gates that are not one per query head and MLP of the model; undefined where nothing is. */
export const misfit = ({ heads, mlp }: AblationGates, shape: ModelShape): string | undefined =>
  heads.length === shape.layers.length * shape.heads && mlp.length === shape.layers.length
    ? undefined
    : `gates: expected ${shape.layers.length} × ${shape.heads} heads and ${shape.layers.length} MLPs, got ` +
      `${heads.length} and ${mlp.length}`

/**
 * The gates with those of one unit (see `GateSpans`) at `value`. A key-value head alone has no output of its own, so its
 * unit leaves them unchanged.
 */
export const set = (
  gates: AblationGates,
  shape: ModelShape,
  unit: Pick<Unit, "kind" | "layer" | "index">,
  value: number,
): AblationGates => {
  const { mlp, queryHeads } = GateSpans.of(shape, unit)
  return {
    heads: gates.heads.slice().fill(value, ...queryHeads),
    mlp: gates.mlp.slice().fill(value, ...mlp),
  }
}

export { set as with }
