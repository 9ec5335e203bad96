/**
 * The forward pass of a decoder with pre-normalised attention and a gated MLP (Llama: Touvron et al., 2023), written
 * from a `ModelShape`.
 *
 * One graph answers everything that is asked of a model: hidden states are computed for the whole batch, then only
 * the positions named by `rows` go through the output head, so a loss over a response never pays for the vocabulary
 * at prompt positions, and a decoding step asks for one position per sequence.
 */
import type { LayerTensors, ModelShape, Projection } from "../ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import * as Attention from "./Attention.ts"
import type { Owner, Weights } from "./Weights.ts"

/** Gates on unit outputs: 1 leaves a unit as it is, 0 ablates it. */
export interface OutputGates {
  /** [layers, heads], multiplies what each head adds through its columns of the output projection */
  readonly heads: Value<"f32">
  /** [layers], multiplies the output of the MLP, its bias included */
  readonly mlp: Value<"f32">
}

export interface DecoderOptions {
  readonly gates?: OutputGates
  /** Whether the graph reads and returns a key-value cache. */
  readonly cache: boolean
}

const residual: Owner = { _tag: "Residual" }

/** x / √(mean(x²) + ε) · w over the last axis (Zhang & Sennrich, 2019). */
const rmsNorm = (x: Value<"f32">, weight: Value<"f32">, epsilon: number): Value<"f32"> => {
  const meanSquare = Op.mean(Op.mul(x, x), -1)
  return Op.mul(Op.div(x, Op.sqrt(Op.add(meanSquare, x.builder.constant(epsilon)))), weight)
}

/** A linear layer of the checkpoint: x·Wᵀ (+ b). `biasOwner` is given where the bias has another owner than W. */
const project = (
  weights: Weights,
  x: Value<"f32">,
  { bias, weight }: Projection,
  out: number,
  owner: Owner,
  biasOwner: Owner = owner,
): Value<"f32"> => {
  const y = Op.linear(x, weights.tensor(weight, [out, Number(Op.dim(x, -1))], owner))
  return bias === undefined ? y : Op.add(y, weights.tensor(bias, [out], biasOwner))
}

/** What the layers of one graph share. */
interface Context {
  readonly builder: Builder
  readonly shape: ModelShape
  readonly weights: Weights
  readonly gates: OutputGates | undefined
  readonly rotary: Attention.Rotary
  readonly bias: Value<"f32">
}

/** Keys and values of one layer, [batch, kvHeads, length, headDim]. */
interface KeyValue {
  readonly key: Value<"f32">
  readonly value: Value<"f32">
}

const attention = (
  { bias, builder, gates, rotary, shape, weights }: Context,
  x: Value<"f32">,
  l: number,
  tensors: LayerTensors,
  past: KeyValue | undefined,
): { readonly output: Value<"f32">; readonly present: KeyValue } => {
  const { headDim, heads, hiddenSize, kvHeads } = shape
  const queryRows: Owner = { _tag: "QueryHeads", layer: l, axis: 0 }
  const kvRows: Owner = { _tag: "KvHeads", layer: l, axis: 0 }
  const query = project(weights, x, tensors.query, heads * headDim, queryRows)
  const key = project(weights, x, tensors.key, kvHeads * headDim, kvRows)
  const value = project(weights, x, tensors.value, kvHeads * headDim, kvRows)
  const rotatedKey = Attention.rotate(Attention.splitHeads(key, kvHeads, headDim), rotary)
  const splitValue = Attention.splitHeads(value, kvHeads, headDim)
  const present: KeyValue =
    past === undefined
      ? { key: rotatedKey, value: splitValue }
      : { key: Op.concat([past.key, rotatedKey], 2), value: Op.concat([past.value, splitValue], 2) }
  const rotatedQuery = Attention.rotate(Attention.splitHeads(query, heads, headDim), rotary)
  const mixed = Attention.attend(rotatedQuery, present.key, present.value, bias)
  const gated =
    gates === undefined
      ? mixed
      : Op.mul(mixed, Op.reshape(Op.gather(gates.heads, builder.indices(l), 0), [1, heads, 1, 1]))
  const outputColumns: Owner = { _tag: "QueryHeads", layer: l, axis: 1 }
  // The output bias is added once for all heads, so no head owns it.
  const output = project(
    weights,
    Attention.joinHeads(gated),
    tensors.output,
    hiddenSize,
    outputColumns,
    residual,
  )
  return { output, present }
}

const mlp = (
  { builder, gates, shape, weights }: Context,
  x: Value<"f32">,
  l: number,
  tensors: LayerTensors,
): Value<"f32"> => {
  const owner: Owner = { _tag: "Mlp", layer: l }
  const gate = project(weights, x, tensors.gate, shape.intermediateSize, owner)
  const up = project(weights, x, tensors.up, shape.intermediateSize, owner)
  const output = project(weights, Op.mul(Op.silu(gate), up), tensors.down, shape.hiddenSize, owner)
  return gates === undefined ? output : Op.mul(output, Op.gather(gates.mlp, builder.indices(l), 0))
}

/**
 * Writes a decoder into `builder` and returns the graph's outputs.
 *
 * Inputs: `tokens`, `positions` i32 [batch, sequence]; `keyPositions` i32 [batch, total] (with a cache, total = past +
 * sequence; else total = sequence); `rows` i32 [rows], positions to read, as indices into batch · sequence; `targets`
 * i32 [rows]; with a cache `past.<l>.key|value` f32 [batch, kvHeads, past, headDim].
 * Outputs: `logits` f32 [rows, vocabulary]; `logLikelihood` f32 [rows], log p(target) in nats; `next` i64 [rows], the
 * most likely token; with a cache `present.<l>.key|value`.
 */
export const decoder = (
  builder: Builder,
  shape: ModelShape,
  weights: Weights,
  { cache, gates }: DecoderOptions,
): Readonly<Record<string, Value>> => {
  const tokens = builder.input("tokens", "i32", ["batch", "sequence"])
  const positions = builder.input("positions", "i32", ["batch", "sequence"])
  const keyPositions = builder.input("keyPositions", "i32", ["batch", cache ? "past+sequence" : "sequence"])
  const rows = builder.input("rows", "i32", ["rows"])
  const targets = builder.input("targets", "i32", ["rows"])

  const { headDim, hiddenSize, kvHeads, normEps, vocabSize } = shape
  const embeddingShape = [vocabSize, hiddenSize]
  const context: Context = {
    builder,
    shape,
    weights,
    gates,
    rotary: builder.scoped("rotary", () => Attention.rotary(builder, shape, positions)),
    bias: builder.scoped("mask", () => Attention.causalBias(builder, positions, keyPositions)),
  }
  const presents: Record<string, Value> = {}
  const norm = (x: Value<"f32">, name: string) =>
    rmsNorm(x, weights.tensor(name, [hiddenSize], residual), normEps)

  let hidden = builder.scoped("embedding", () =>
    weights.rows(shape.tensors.embedding, embeddingShape, tokens),
  )
  for (let l = 0; l < shape.layers; l++) {
    const tensors = shape.layer(l)
    const pastOf = (name: string) =>
      builder.input(`past.${l}.${name}`, "f32", ["batch", kvHeads, "past", headDim])
    const past = cache ? { key: pastOf("key"), value: pastOf("value") } : undefined
    hidden = builder.scoped(`layers.${l}/attention`, () => {
      const { output, present } = attention(context, norm(hidden, tensors.inputNorm), l, tensors, past)
      presents[`present.${l}.key`] = present.key
      presents[`present.${l}.value`] = present.value
      return Op.add(hidden, output)
    })
    hidden = builder.scoped(`layers.${l}/mlp`, () =>
      Op.add(hidden, mlp(context, norm(hidden, tensors.postAttentionNorm), l, tensors)),
    )
  }
  return builder.scoped("head", () => {
    const flat = Op.reshape(hidden, ["batch*sequence", hiddenSize])
    const selected = norm(Op.gather(flat, rows, 0), shape.tensors.finalNorm)
    const logits = Op.linear(selected, weights.tensor(shape.tensors.head, embeddingShape, residual))
    const perTarget = Op.gatherElements(Op.logSoftmax(logits, -1), Op.reshape(targets, ["rows", 1]), 1)
    return {
      logits,
      logLikelihood: Op.reshape(perTarget, ["rows"]),
      next: Op.argMax(logits, -1),
      ...(cache ? presents : {}),
    }
  })
}
