/**
 * Merges of several experts that exist only while they run: W = base + Σ λ · (expert − base), one λ per expert and group
 * of weights (task arithmetic: Ilharco et al., 2023; a coefficient per layer: Yang et al., 2024). A group is some
 * tensors, or rows and columns of some: a coefficient per head is a group per head.
 *
 * Trying coefficients costs a forward pass, their derivatives a backward pass; no checkpoint is written.
 */
import type * as Scope from "effect/Scope"
import * as SharedShape from "../architectures/SharedShape.ts"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import { virtualMerge, virtualMergeEntropy, virtualMergeGradient } from "../graphs/VirtualMergeGraph.ts"
import { Runtime } from "../runtime/Runtime.ts"
import { at, entry, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Example } from "../text/Example.ts"
import * as LossGradients from "../attribution/LossGradients.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"

/** Rows (axis 0) or columns (axis 1) `[start, end)` of a tensor, and the group that they move with. */
export interface Span {
  readonly axis: 0 | 1
  readonly start: number
  readonly end: number
  readonly group: string
}

/**
 * What a tensor moves with: the name of a group, or spans along one axis, of which what lies in none stays the base's.
 * A tensor whose rows are looked up (an embedding) moves as a whole.
 */
export type Grouping = (tensor: string) => string | ReadonlyArray<Span>

/** The loss of a merge and how it changes with the coefficients. */
export interface LambdaGradient {
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: Float64Array
  /** [experts, groups]: the derivative of the mean of those losses with respect to each coefficient */
  readonly gradient: Float64Array
}

/** How sure a merge is of what it predicts, and how that changes with the coefficients. */
export interface EntropyGradient {
  /** Mean entropy of the prediction of each response token of an example, in nats; what the token is has no part. */
  readonly entropies: Float64Array
  /** [experts, groups]: the derivative of the mean of those entropies with respect to each coefficient */
  readonly gradient: Float64Array
}

export interface VirtualMerge {
  readonly shape: ModelShape
  /** The groups of weights, in the order of the coefficients. */
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
  /** Entropies of the merge's predictions and the gradient of their mean with respect to `lambdas` [experts, groups]. */
  readonly entropies: (
    examples: ReadonlyArray<Example>,
    lambdas: Float32Array,
  ) => Effect.Effect<EntropyGradient, ModelError>
}

/** The groups that tensors are divided into, in the order of the tensors, and what each moves with by index. */
export const groupsOf = (tensors: ReadonlyArray<string>, groupOf: Grouping) => {
  const divided = tensors.map((tensor) => [tensor, groupOf(tensor)] as const)
  const groups = [
    ...new Set(divided.flatMap(([, to]) => (typeof to === "string" ? [to] : to.map(({ group }) => group)))),
  ]
  const places = new Map(groups.map((group, i) => [group, i]))
  const indices = new Map(
    divided.map(([tensor, to]) => [
      tensor,
      typeof to === "string"
        ? entry(places, to)
        : to.map((span) => ({ ...span, group: entry(places, span.group) })),
    ]),
  )
  return { groups, indexOf: (tensor: string) => entry(indices, tensor) }
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
  /** The program with derivatives of the entropy, opened when it is first asked for. */
  readonly entropyProgram: Effect.Effect<OpenProgram, ModelError>
}

/** The merge over its open program. */
export const make = (parts: Parts): VirtualMerge => {
  const { entropyProgram, experts, gradientProgram, groups, name, program, shape } = parts
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

  /** Losses and the gradient of the program's objective, the mean over the examples. */
  const derive = Effect.fnUntraced(function* (
    opened: OpenProgram,
    examples: ReadonlyArray<Example>,
    lambdas: Float32Array,
    also?: (done: LossGradients.Done) => void,
  ): Effect.fn.Return<LambdaGradient, ModelError> {
    const batches = LossGradients.together(shape, examples)
    const sums = new Map<number, Float32Array>()
    const losses = yield* LossGradients.run(
      {
        model: name,
        shape,
        program: opened,
        examples,
        batches,
        scale: 1 / examples.length,
        extra: () => feeds(lambdas),
        fetches: ["gradient", ...(also === undefined ? [] : ["negentropy"])],
      },
      (done) => {
        sums.set(at(done.batch, 0), done.output("gradient"))
        also?.(done)
      },
    )
    // Added up in the order of the batches, whichever worker was first.
    const gradient = new Float64Array(lambdas.length)
    for (const batch of batches) {
      for (const [i, value] of entry(sums, at(batch, 0)).entries()) gradient[i] = known(gradient[i]) + value
    }
    return { losses, gradient }
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
      return yield* derive(yield* gradientProgram, examples, lambdas)
    }),
    entropies: Effect.fnUntraced(function* (examples, lambdas) {
      yield* check(lambdas)
      const entropies = new Float64Array(examples.length)
      // The graph's objective is the negative entropy, as a log-likelihood is a negative loss.
      const { gradient } = yield* derive(yield* entropyProgram, examples, lambdas, ({ batch, output }) => {
        const selected = batch.map((i) => at(examples, i))
        Losses.ofRows(selected, output("negentropy")).forEach((value, i) => (entropies[at(batch, i)] = value))
      })
      return { entropies, gradient }
    }),
  }
}

/**
 * Opens the merges base + Σ λ · (expert − base), one λ per expert and group of weights; `groupOf` names the group of a
 * tensor, or those of its rows or columns.
 */
export const open = Effect.fn("VirtualMerge.open")(function* (
  base: Checkpoint,
  experts: ReadonlyArray<Checkpoint>,
  groupOf: Grouping,
): Effect.fn.Return<VirtualMerge, ModelError, Runtime | Scope.Scope> {
  const runtime = yield* Runtime
  const name = `merge over ${SharedShape.nameOf(base)}`
  if (experts.length === 0) {
    return yield* new ModelError({ model: name, problem: "expected at least one expert", blame: "input" })
  }
  const shape = yield* SharedShape.of(base, experts)
  const { groups, indexOf } = groupsOf([...shape.expected.keys()], groupOf)
  const merge = {
    shape,
    base: base.tensors,
    experts: experts.map(({ tensors }) => tensors),
    groupOf: indexOf,
    groups: groups.length,
  }
  return make({
    name,
    shape,
    experts: experts.length,
    groups,
    program: yield* runtime.start(name, virtualMerge(merge)),
    gradientProgram: yield* runtime.later(name, () => virtualMergeGradient(merge)),
    entropyProgram: yield* runtime.later(name, () => virtualMergeEntropy(merge)),
  })
})
