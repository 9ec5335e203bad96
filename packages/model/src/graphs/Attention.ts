/**
 * Causal self-attention with grouped key-value heads and rotary positions, over a key-value cache.
 *
 * Formulas: attention (Vaswani et al., 2017), rotary embedding in the half-split layout (Su et al., 2021),
 * grouped queries (Ainslie et al., 2023): query head h reads key-value head ⌊h / (heads / kvHeads)⌋.
 */
import type { ModelShape } from "../ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"

/** cos and sin of every rotary angle, [batch, 1, sequence, headDim / 2]. */
export interface Rotary {
  readonly cos: Value<"f32">
  readonly sin: Value<"f32">
}

/** The angles position · θ^(−2i/headDim), i < headDim / 2, for `positions` [batch, sequence]. */
export const rotary = (builder: Builder, shape: ModelShape, positions: Value<"i32">): Rotary => {
  const half = shape.headDim / 2
  const frequencies = Float32Array.from({ length: half }, (_, i) => shape.ropeTheta ** (-i / half))
  const [batch, sequence] = [Op.dim(positions, 0), Op.dim(positions, 1)]
  const at = Op.reshape(Op.cast(positions, "f32"), [batch, 1, sequence, 1])
  const angles = Op.mul(at, builder.constant(frequencies))
  return { cos: Op.cos(angles), sin: Op.sin(angles) }
}

/** Rotates the pairs (x_i, x_{i + headDim/2}) of `x` [batch, heads, sequence, headDim]. */
export const rotate = (x: Value<"f32">, { cos, sin }: Rotary): Value<"f32"> => {
  const [first, second] = Op.halves(x, -1)
  return Op.concat(
    [Op.sub(Op.mul(first, cos), Op.mul(second, sin)), Op.add(Op.mul(second, cos), Op.mul(first, sin))],
    -1,
  )
}

/**
 * What each query may see, as a term added to the scores, [batch, 1, sequence, total]: 0 where the key's position is
 * at most the query's, else −1e30 (finite, so that a padded query with nothing to see gives no NaN). A padded key has
 * a position beyond every query's.
 */
export const causalBias = (
  builder: Builder,
  positions: Value<"i32">,
  keyPositions: Value<"i32">,
): Value<"f32"> => {
  const [batch, sequence, total] = [Op.dim(positions, 0), Op.dim(positions, 1), Op.dim(keyPositions, 1)]
  const visible = Op.lessOrEqual(
    Op.reshape(keyPositions, [batch, 1, 1, total]),
    Op.reshape(positions, [batch, 1, sequence, 1]),
  )
  return Op.where(visible, builder.constant(0), builder.constant(-1e30))
}

/** [batch, sequence, heads · headDim] → [batch, heads, sequence, headDim] */
export const splitHeads = (x: Value<"f32">, heads: number, headDim: number): Value<"f32"> =>
  Op.transpose(Op.reshape(x, [Op.dim(x, 0), Op.dim(x, 1), heads, headDim]), [0, 2, 1, 3])

/** [batch, heads, sequence, headDim] → [batch, sequence, heads · headDim] */
export const joinHeads = (x: Value<"f32">): Value<"f32"> => {
  const back = Op.transpose(x, [0, 2, 1, 3])
  const [batch, sequence, heads, headDim] = [0, 1, 2, 3].map((axis) => Op.dim(back, axis))
  return Op.reshape(back, [batch ?? 1, sequence ?? 1, Number(heads) * Number(headDim)])
}

/**
 * softmax(q·kᵀ/√headDim + bias)·v for queries [batch, heads, sequence, headDim], keys and values
 * [batch, kvHeads, total, headDim]; the queries of a group are stacked so that keys and values need no copies.
 */
export const attend = (
  query: Value<"f32">,
  key: Value<"f32">,
  value: Value<"f32">,
  bias: Value<"f32">,
): Value<"f32"> => {
  const [batch, heads, sequence, headDim] = [0, 1, 2, 3].map((axis) => Op.dim(query, axis)) as [
    string,
    number,
    string,
    number,
  ]
  const [kvHeads, total] = [Number(Op.dim(key, 1)), Op.dim(key, 2)]
  const perGroup = heads / kvHeads
  const stackedRows = perGroup === 1 ? sequence : `${perGroup}*${sequence}`
  const scaled = Op.mul(query, query.builder.constant(1 / Math.sqrt(headDim)))
  const stacked = Op.reshape(scaled, [batch, kvHeads, stackedRows, headDim])
  const scores = Op.matMul(stacked, Op.transpose(key, [0, 1, 3, 2]))
  const weights = Op.softmax(Op.add(Op.reshape(scores, [batch, heads, sequence, total]), bias), -1)
  const mixed = Op.matMul(Op.reshape(weights, [batch, kvHeads, stackedRows, total]), value)
  return Op.reshape(mixed, [batch, heads, sequence, headDim])
}
