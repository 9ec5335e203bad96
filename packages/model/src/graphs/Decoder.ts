/**
 * A whole decoder, written from a `ModelShape`: embedding, layers, head.
 *
 * One graph answers everything that is asked of a model: hidden states are computed for the whole batch, then only
 * the positions named by `rows` go through the output head, so a loss over a response never pays for the vocabulary
 * at prompt positions, and a decoding step asks for one position per sequence.
 */
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import { softcap } from "./Attention.ts"
import * as Block from "./Block.ts"
import * as Contexts from "./Context.ts"
import * as Linear from "./Linear.ts"
import type { Owner, Weights } from "./Weights.ts"

export interface DecoderOptions {
  readonly gates?: Contexts.OutputGates
  /** Whether the graph reads and returns a key-value cache. */
  readonly cache: boolean
  readonly onUse?: NonNullable<Contexts.Context["onUse"]>
}

const residual: Owner = { _tag: "Residual" }

type Context = Contexts.Context<ModelShape>

/** The hidden state before the first layer, [batch, sequence, hiddenSize], of `tokens` at `positions`. */
export const embed = (context: Context, tokens: Value<"i32">, positions: Value<"i32">): Value<"f32"> => {
  const { builder, shape } = context
  const rows = (tensor: string, size: ReadonlyArray<number>, indices: Value<"i32">) => {
    const by = (weights: Weights) => weights.rows(tensor, size, indices)
    return Contexts.used(context, { tensor, owner: residual, output: by(context.weights), by })
  }
  return builder.scoped("embedding", () => {
    const { embeddingScale, hiddenSize, maxPositions, tensors, vocabSize } = shape
    const words = rows(tensors.embedding, [vocabSize, hiddenSize], tokens)
    const scaled = embeddingScale === 1 ? words : Op.mul(words, builder.constant(embeddingScale))
    return tensors.positions === undefined
      ? scaled
      : Op.add(scaled, rows(tensors.positions, [maxPositions, hiddenSize], positions))
  })
}

/** The last hidden state, after the final norm, of the last layer's output; any leading axes. */
export const finalNorm = (context: Context, x: Value<"f32">): Value<"f32"> =>
  Linear.norm(context, x, context.shape.tensors.finalNorm)

/** Logits [rows, vocabulary] of last hidden states [rows, hiddenSize]. */
export const readout = (context: Context, x: Value<"f32">): Value<"f32"> => {
  const { hiddenSize, tensors, vocabSize } = context.shape
  const of = (weights: Weights) => weights.tensor(tensors.head, [vocabSize, hiddenSize], residual)
  const by = (weights: Weights, input = x) => Op.linear(input, of(weights))
  const output = Contexts.used(context, {
    tensor: tensors.head,
    owner: residual,
    input: x,
    output: by(context.weights),
    by,
    back: (weights, adjoint) => Op.matMul(adjoint, of(weights)),
  })
  return adjust(context.shape, output)
}

/** What happens to each logit behind the output head: scale and soft cap, for any part of the vocabulary. */
export const adjust = (
  { logitScale, logitSoftcap: cap }: Pick<ModelShape, "logitScale" | "logitSoftcap">,
  logits: Value<"f32">,
): Value<"f32"> => {
  const scaled = logitScale === 1 ? logits : Op.mul(logits, logits.builder.constant(logitScale))
  return cap === undefined ? scaled : softcap(scaled, cap)
}

/**
 * What a decoder says at `rows`, positions of `hidden` [batch, sequence, hiddenSize] behind the last layer: see `decoder`.
 * Adds the inputs `rows` and `targets`.
 */
export const answers = (context: Context, hidden: Value<"f32">) => {
  const { builder, shape } = context
  const rows = builder.input("rows", "i32", ["rows"])
  const targets = builder.input("targets", "i32", ["rows"])
  return builder.scoped("head", () => {
    const flat = Op.reshape(hidden, ["batch*sequence", shape.hiddenSize])
    const last = finalNorm(context, Op.gather(flat, rows, 0))
    const logits = readout(context, last)
    const perTarget = Op.gatherElements(Op.logSoftmax(logits, -1), Op.reshape(targets, ["rows", 1]), 1)
    return {
      hidden: last,
      logits,
      logLikelihood: Op.reshape(perTarget, ["rows"]),
      next: Op.argMax(logits, -1),
    }
  })
}

/**
 * Writes a decoder into `builder` and returns the graph's outputs.
 *
 * Inputs: `tokens`, `positions` i32 [batch, sequence]; `keyPositions` i32 [batch, total] (with a cache, total = past +
 * sequence; else total = sequence); `rows` i32 [rows], positions to read, as indices into batch · sequence; `targets`
 * i32 [rows]; with a cache `past.<l>.key|value` f32 [batch, kvHeads, past, headDim].
 * Outputs: `hidden` f32 [rows, hiddenSize], after the final norm; `logits` f32 [rows, vocabulary]; `logLikelihood` f32
 * [rows], log p(target) in nats; `next` i64 [rows], the most likely token; with a cache `present.<l>.key|value`.
 */
export const decoder = (
  builder: Builder,
  shape: ModelShape,
  weights: Weights,
  { cache, gates, onUse }: DecoderOptions,
): Readonly<Record<string, Value>> & Readonly<Record<"logLikelihood" | "logits", Value<"f32">>> => {
  const tokens = builder.input("tokens", "i32", ["batch", "sequence"])
  const positions = builder.input("positions", "i32", ["batch", "sequence"])
  const keyPositions = builder.input("keyPositions", "i32", ["batch", cache ? "past+sequence" : "sequence"])

  const context: Context = {
    ...Contexts.make(builder, shape, weights, { positions, keyPositions }, gates),
    ...(onUse === undefined ? {} : { onUse }),
  }
  const presents: Record<string, Value> = {}
  let hidden = embed(context, tokens, positions)
  for (let l = 0; l < shape.layers.length; l++) {
    const pastOf = (name: string) =>
      builder.input(`past.${l}.${name}`, "f32", ["batch", shape.kvHeads, "past", shape.headDim])
    const past = cache ? { key: pastOf("key"), value: pastOf("value") } : undefined
    const layer = Block.layer(context, l, hidden, past)
    hidden = layer.hidden
    presents[`present.${l}.key`] = layer.present.key
    presents[`present.${l}.value`] = layer.present.value
  }
  return { ...answers(context, hidden), ...(cache ? presents : {}) }
}
