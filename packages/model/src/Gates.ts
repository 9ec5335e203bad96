/**
 * Ablation gates of a model: one number per query head and one per MLP, multiplied into what the unit adds to the
 * residual stream. 1 leaves the unit as it is, 0 removes it; the weights are not touched.
 */
import type { ModelShape } from "./ModelShape.ts"
import type { Unit } from "./Unit.ts"

export interface Gates {
  /** [layers, heads] */
  readonly heads: Float32Array
  /** [layers] */
  readonly mlp: Float32Array
}

/** Every gate at `value`. */
export const filled = (shape: ModelShape, value: number): Gates => ({
  heads: new Float32Array(shape.layers * shape.heads).fill(value),
  mlp: new Float32Array(shape.layers).fill(value),
})

/** What is wrong with gates that are not one per query head and MLP of the model; undefined where nothing is. */
export const misfit = ({ heads, mlp }: Gates, shape: ModelShape): string | undefined =>
  heads.length === shape.layers * shape.heads && mlp.length === shape.layers
    ? undefined
    : `gates: expected ${shape.layers} × ${shape.heads} heads and ${shape.layers} MLPs, got ` +
      `${heads.length} and ${mlp.length}`

/**
 * The gates with one unit set to `value`. A key-value group stands for its query heads, a layer for its heads and MLP. A key-value head alone has no
 * output of its own, so its unit leaves the gates unchanged.
 */
export const set = (
  gates: Gates,
  shape: ModelShape,
  unit: Pick<Unit, "kind" | "layer" | "index">,
  value: number,
): Gates => {
  const heads = gates.heads.slice()
  const mlp = gates.mlp.slice()
  const row = unit.layer * shape.heads
  switch (unit.kind) {
    case "kvGroup": {
      const perGroup = shape.heads / shape.kvHeads
      heads.fill(value, row + unit.index * perGroup, row + (unit.index + 1) * perGroup)
      break
    }
    case "queryHead":
      heads[row + unit.index] = value
      break
    case "mlp":
      mlp[unit.layer] = value
      break
    case "layer":
      heads.fill(value, row, row + shape.heads)
      mlp[unit.layer] = value
      break
    case "kvHead":
      break
  }
  return { heads, mlp }
}

export { set as with }
