/**
 * Gates of a delta model: how far each unit's weights are on the way from base (0) to expert (1).
 */
import type { ModelShape } from "./ModelShape.ts"
import type { Unit } from "./Unit.ts"

export interface DeltaGates {
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
export const filled = (shape: ModelShape, value: number): DeltaGates => ({
  queryHeads: new Float32Array(shape.layers * shape.heads).fill(value),
  kvHeads: new Float32Array(shape.layers * shape.kvHeads).fill(value),
  mlp: new Float32Array(shape.layers).fill(value),
  residual: value,
})

/** What is wrong with gates that are not one per unit of the model; undefined where nothing is. */
export const misfit = ({ kvHeads, mlp, queryHeads }: DeltaGates, shape: ModelShape): string | undefined => {
  const sizes = [queryHeads.length, kvHeads.length, mlp.length]
  const expected = [shape.layers * shape.heads, shape.layers * shape.kvHeads, shape.layers]
  return sizes.every((size, i) => size === expected[i])
    ? undefined
    : `gates: expected ${expected.join(", ")} numbers (query heads, key-value heads, MLPs), got ${sizes.join(", ")}`
}

/** The gates with one unit set to `value`; a key-value group is its query heads and its key-value head, a layer all of its own. */
export const set = (
  gates: DeltaGates,
  shape: ModelShape,
  unit: Pick<Unit, "kind" | "layer" | "index">,
  value: number,
): DeltaGates => {
  const queryHeads = gates.queryHeads.slice()
  const kvHeads = gates.kvHeads.slice()
  const mlp = gates.mlp.slice()
  const { index, layer } = unit
  switch (unit.kind) {
    case "kvGroup": {
      const perGroup = shape.heads / shape.kvHeads
      const first = layer * shape.heads + index * perGroup
      queryHeads.fill(value, first, first + perGroup)
      kvHeads[layer * shape.kvHeads + index] = value
      break
    }
    case "queryHead":
      queryHeads[layer * shape.heads + index] = value
      break
    case "kvHead":
      kvHeads[layer * shape.kvHeads + index] = value
      break
    case "mlp":
      mlp[layer] = value
      break
    case "layer":
      queryHeads.fill(value, layer * shape.heads, (layer + 1) * shape.heads)
      kvHeads.fill(value, layer * shape.kvHeads, (layer + 1) * shape.kvHeads)
      mlp[layer] = value
      break
  }
  return { ...gates, queryHeads, kvHeads, mlp }
}

/**
 * The derivative of a loss along a unit, its gates moving together, from the derivatives with respect to every gate;
 * a key-value group moves its query heads and its key-value head, a layer all of its own.
 */
export const along = (
  gradient: Omit<DeltaGates, "residual">,
  shape: ModelShape,
  { index, kind, layer }: Pick<Unit, "kind" | "layer" | "index">,
): number => {
  switch (kind) {
    case "kvGroup": {
      const perGroup = shape.heads / shape.kvHeads
      const first = layer * shape.heads + index * perGroup
      const heads = gradient.queryHeads.subarray(first, first + perGroup)
      return heads.reduce((sum, value) => sum + value, gradient.kvHeads[layer * shape.kvHeads + index] ?? NaN)
    }
    case "queryHead":
      return gradient.queryHeads[layer * shape.heads + index] ?? NaN
    case "kvHead":
      return gradient.kvHeads[layer * shape.kvHeads + index] ?? NaN
    case "mlp":
      return gradient.mlp[layer] ?? NaN
    case "layer": {
      const add = (sum: number, value: number) => sum + value
      const queries = gradient.queryHeads.subarray(layer * shape.heads, (layer + 1) * shape.heads)
      const keys = gradient.kvHeads.subarray(layer * shape.kvHeads, (layer + 1) * shape.kvHeads)
      return queries.reduce(add, keys.reduce(add, gradient.mlp[layer] ?? NaN))
    }
  }
}

export { set as with }
