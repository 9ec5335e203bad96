/**
 * A forward graph with its loss and the derivatives of it.
 *
 * The objective is a weighted sum of log-likelihoods whose weights are an input, so one graph gives the gradient of one
 * example's loss or of a mean over many. Logits never leave the graph.
 */
import type { Builder, Value } from "../onnx/Graph.ts"
import { gradients } from "../onnx/Reverse.ts"

/**
 * Appends the gradient of Σ coefficient · log-likelihood with respect to each variable, in its shape.
 *
 * `logLikelihood` is f32 [rows]. Adds the input `coefficients` f32 [rows]: −1/n for each of the n response tokens of an
 * example gives the gradient of its loss.
 */
export const lossGradients = <const V extends ReadonlyArray<Value<"f32">>>(
  builder: Builder,
  logLikelihood: Value<"f32">,
  variables: V,
): { readonly [K in keyof V]: Value<"f32"> } =>
  gradients(
    [{ of: logLikelihood, adjoint: builder.input("coefficients", "f32", logLikelihood.shape) }],
    variables,
  )
