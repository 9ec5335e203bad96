/**
 * Self-attention with grouped key-value heads: masks, heads, and the weighted sum.
 *
 * Formulas: attention (Vaswani et al., 2017), grouped queries (Ainslie et al., 2023): query head h reads key-value head
 * ⌊h / (heads / kvHeads)⌋.
 */
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import { unseen } from "../runtime/Batches.ts"

/**
 * What each query may see, as a term added to the scores, [batch, 1, sequence or 1, total]: 0 for keys in sight, else
 * −1e30 (finite, so that a padded query with nothing to see gives no NaN) or twice that. A causal query sees keys at and
 * before its own position, others see every key that is not padding; `reach` limits how far away.
 */
export const visibility = (
  builder: Builder,
  positions: Value<"i32">,
  keyPositions: Value<"i32">,
  { causal, reach }: { readonly causal: boolean; readonly reach: number | undefined },
): Value<"f32"> => {
  const [batch, sequence, total] = [Op.dim(positions, 0), Op.dim(positions, 1), Op.dim(keyPositions, 1)]
  const keys = Op.reshape(keyPositions, [batch, 1, 1, total])
  const queries = Op.reshape(positions, [batch, 1, sequence, 1])
  const hidden = (visible: Value<"bool">) => Op.where(visible, builder.constant(0), builder.constant(-1e30))
  const upTo = (limit: Value<"i32">) => hidden(Op.lessOrEqual(keys, limit))
  if (reach === undefined) return upTo(causal ? queries : builder.indices(unseen - 1))
  const from = hidden(Op.lessOrEqual(Op.sub(queries, builder.indices(reach)), keys))
  return Op.add(upTo(causal ? queries : Op.add(queries, builder.indices(reach))), from)
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

export interface Scores {
  /** Multiplies query · key. */
  readonly scale: number
  /** Scores s become cap · tanh(s / cap) (Gemma 2, 2024). */
  readonly softcap: number | undefined
}

/**
 * softmax(scale · q·kᵀ + bias)·v for queries [batch, heads, sequence, headDim], keys and values
 * [batch, kvHeads, total, headDim]; the queries of a group are stacked so that keys and values need no copies.
 */
export const attend = (
  query: Value<"f32">,
  key: Value<"f32">,
  value: Value<"f32">,
  bias: Value<"f32">,
  { scale, softcap: cap }: Scores,
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
  const scaled = scale === 1 ? query : Op.mul(query, query.builder.constant(scale))
  const stacked = Op.reshape(scaled, [batch, kvHeads, stackedRows, headDim])
  const scores = Op.matMul(stacked, Op.transpose(key, [0, 1, 3, 2]))
  const capped = cap === undefined ? scores : softcap(scores, cap)
  const weights = Op.softmax(Op.add(Op.reshape(capped, [batch, heads, sequence, total]), bias), -1)
  const mixed = Op.matMul(Op.reshape(weights, [batch, kvHeads, stackedRows, total]), value)
  return Op.reshape(mixed, [batch, heads, sequence, headDim])
}

/** cap · tanh(x / cap): x where it is small, never beyond ±cap. */
export const softcap = (x: Value<"f32">, cap: number): Value<"f32"> =>
  Op.mul(Op.tanh(Op.div(x, x.builder.constant(cap))), x.builder.constant(cap))
