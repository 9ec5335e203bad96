/**
 * Merges of several experts that exist only while they run: W = base + Σ λ · (expert − base), one λ per expert and group
 * of tensors (task arithmetic: Ilharco et al., 2023; a coefficient per layer: Yang et al., 2024).
 *
 * Trying coefficients costs a forward pass, their derivatives a backward pass; no checkpoint is written.
 */
import * as Effect from "effect/Effect"
import type { Example } from "./Example.ts"
import * as LossGradients from "./gradients/LossGradients.ts"
import { ModelError } from "./ModelError.ts"
import type { ModelShape } from "./ModelShape.ts"
import * as Batches from "./runtime/Batches.ts"
import * as Losses from "./runtime/Losses.ts"
import type { Tensors } from "./runtime/Protocol.ts"
import type { OpenProgram } from "./runtime/WorkerPool.ts"

/** The loss of a merge and how it changes with the coefficients. */
export interface LambdaGradient {
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: Float64Array
  /** [experts, groups]: the derivative of the mean of those losses with respect to each coefficient */
  readonly gradient: Float64Array
}

export interface VirtualMerge {
  readonly shape: ModelShape
  /** The groups of tensors, in the order of the coefficients. */
  readonly groups: ReadonlyArray<string>
  /** Losses of the merge with these coefficients, `lambdas` [experts, groups]. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    lambdas: Float32Array,
  ) => Effect.Effect<Float64Array, ModelError>
  /** Losses of the merge and the gradient of their mean with respect to `lambdas` [experts, groups]. */
  readonly gradients: (
    examples: ReadonlyArray<Example>,
    lambdas: Float32Array,
  ) => Effect.Effect<LambdaGradient, ModelError>
}

/** What a virtual merge is made of. `name` stands for it in errors. */
export interface Parts {
  readonly name: string
  readonly shape: ModelShape
  readonly experts: number
  readonly groups: ReadonlyArray<string>
  readonly program: OpenProgram
  /** The program with derivatives, opened when it is first asked for. */
  readonly gradientProgram: Effect.Effect<OpenProgram, ModelError>
}

/** The merge over its open program. */
export const make = ({ experts, gradientProgram, groups, name, program, shape }: Parts): VirtualMerge => {
  const check = (lambdas: Float32Array): Effect.Effect<void, ModelError> =>
    lambdas.length === experts * groups.length
      ? Effect.void
      : Effect.fail(
          new ModelError({
            model: name,
            problem: `lambdas: expected ${experts} experts × ${groups.length} groups, got ${lambdas.length} numbers`,
            blame: "input",
          }),
        )
  /** Fresh copies, since buffers are handed over to the worker. */
  const feeds = (lambdas: Float32Array): Tensors => ({
    lambdas: Batches.float32(lambdas.slice(), [experts, groups.length]),
  })

  return {
    shape,
    groups,
    losses: Effect.fnUntraced(function* (examples, lambdas) {
      yield* check(lambdas)
      return yield* Losses.losses(name, shape, program, examples, () => feeds(lambdas))
    }),
    gradients: Effect.fnUntraced(function* (examples, lambdas) {
      yield* check(lambdas)
      const batches = LossGradients.together(shape, examples)
      const parts = new Map<number, Float32Array>()
      const losses = yield* LossGradients.run(
        {
          model: name,
          shape,
          program: yield* gradientProgram,
          examples,
          batches,
          scale: 1 / examples.length,
          extra: () => feeds(lambdas),
          fetches: ["gradient"],
        },
        ({ batch: [first = 0], output }) => parts.set(first, output("gradient")),
      )
      // Added up in the order of the batches, whichever worker was first.
      const gradient = new Float64Array(lambdas.length)
      for (const [first = 0] of batches) {
        parts.get(first)?.forEach((value, i) => (gradient[i] = (gradient[i] ?? 0) + value))
      }
      return { losses, gradient }
    }),
  }
}
