/**
 * How sensitive an example's loss is to each layer's parameters: Σ |θ · ∂Loss/∂θ| over the layer.
 */
import * as Effect from "effect/Effect"
import type { Example } from "../text/Example.ts"
import * as LossGradients from "./LossGradients.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"

/** The sensitivities of the losses of some examples. */
export interface Sensitivity {
  /** Layers (`model.layers.0`), and tensors outside of all layers by their name. */
  readonly groups: ReadonlyArray<string>
  /** One [groups] per example, in nats, ≥ 0. */
  readonly values: ReadonlyArray<Float32Array>
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: Float64Array
}

/** The sensitivities of each example's loss by a program that returns `sensitivity` [groups]; an example to a run. */
export const measure = Effect.fnUntraced(function* (
  model: string,
  shape: ModelShape,
  groups: ReadonlyArray<string>,
  program: OpenProgram,
  examples: ReadonlyArray<Example>,
): Effect.fn.Return<Sensitivity, ModelError> {
  const values: Array<Float32Array> = examples.map(() => new Float32Array(groups.length))
  const losses = yield* LossGradients.run(
    {
      model,
      shape,
      program,
      examples,
      batches: LossGradients.alone(examples),
      scale: 1,
      extra: () => ({}),
      fetches: ["sensitivity"],
    },
    ({ batch: [example = 0], output }) => (values[example] = output("sensitivity")),
  )
  return { groups, values, losses }
})
