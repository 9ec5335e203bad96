/**
 * The uses a graph makes of weights: what a tensor is combined with, and what comes of it.
 *
 * Every use is linear in its tensor, so what a change of the tensor adds is the same use of the change. Whoever wants to
 * look at inputs and outputs, add to an output or differentiate along a change does it here, use by use, without
 * knowing how layers are built.
 */
import type { Value } from "../onnx/Graph.ts"
import type { Owner, Weights } from "./Weights.ts"

/** A tensor in a linear layer, norm, bias, embedding or output head. */
export interface Use {
  /** The tensor's name in the checkpoint. */
  readonly tensor: string
  /** Whose it is. */
  readonly owner: Owner
  /** What it multiplies: what goes into a linear layer, or the values a norm scales; absent for biases and lookups. */
  readonly input?: Value<"f32">
  /** What comes out; its first axis is the input's first: sequences, or rows behind the last layer. */
  readonly output: Value<"f32">
  /** What other weights in the tensor's place would give, or add, from the same input or another. */
  readonly by: (weights: Weights, input?: Value<"f32">) => Value<"f32">
  /** Of linear layers: the adjoint of the input that other weights in the tensor's place make of one of the output. */
  readonly back?: (weights: Weights, adjoint: Value<"f32">) => Value<"f32">
  /** Whether the owner's heads lie along the inputs and not the outputs, as in the output projection. */
  readonly alongInputs?: boolean
}
