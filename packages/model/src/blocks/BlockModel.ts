/**
 * A model that runs piece by piece within a memory budget, forward and backward.
 *
 * Answers are those of a `CausalModel`, up to rounding; what differs is that its weights need not fit into memory. Every
 * piece of the weights is loaded once for everything that wants it, so work that comes together is done together. It
 * writes no text: `CausalModel` does.
 */
import type * as Scope from "effect/Scope"
import * as Checkpoints from "../checkpoint/Checkpoint.ts"
import { asModelError, nameOf } from "../architectures/SharedShape.ts"
import { Runtime } from "../runtime/Runtime.ts"
import * as Pieces from "./Pieces.ts"
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import type { Example } from "../text/Example.ts"
import * as AblationGates from "../attribution/AblationGates.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Losses from "../runtime/Losses.ts"
import * as Backward from "./Backward.ts"
import type { Budget } from "./Budget.ts"
import type { Parts } from "./Forward.ts"
import * as Passes from "./Passes.ts"

/** Gates are 1 where none are given. */
interface Options {
  readonly gates?: AblationGates.AblationGates
}

export interface BlockModel {
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  /** How the memory is spent. */
  readonly budget: Budget
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    options?: Options,
  ) => Effect.Effect<Float64Array, ModelError>
  /** The loss of each example and its derivative with respect to the gates. */
  readonly gradients: (
    examples: ReadonlyArray<Example>,
    options?: Options,
  ) => Effect.Effect<ReadonlyArray<Backward.GateGradient>, ModelError>
}

/** The model over its pieces. */
export const make = Effect.fnUntraced(function* (parts: Parts): Effect.fn.Return<BlockModel> {
  const { checkpoint, name, pieces, shape } = parts
  const backward = yield* Effect.cached(Backward.graphs(parts))
  const noGates = AblationGates.filled(shape, 1)
  const check = Effect.fnUntraced(function* (
    examples: ReadonlyArray<Example>,
    gates: AblationGates.AblationGates,
  ) {
    yield* Losses.checkExamples(name, shape, examples)
    const problem = AblationGates.misfit(gates, shape)
    if (problem !== undefined) return yield* new ModelError({ model: name, problem, blame: "input" })
  })
  return {
    checkpoint,
    shape,
    budget: pieces.budget,
    losses: Effect.fnUntraced(function* (examples, { gates = noGates } = {}) {
      yield* check(examples, gates)
      return yield* Passes.losses(parts, examples, gates)
    }),
    gradients: Effect.fnUntraced(function* (examples, { gates = noGates } = {}) {
      yield* check(examples, gates)
      return yield* Backward.gradients(parts, yield* backward, examples, gates)
    }),
  }
})

/**
 * Opens a model that runs piece by piece in a process of at most about `memory` bytes, whatever its size; fails with the
 * bytes it needs where one block does not fit.
 */
export const open = Effect.fn("BlockModel.open")(function* (
  checkpoint: Checkpoints.Checkpoint,
  { memory }: { readonly memory: number },
): Effect.fn.Return<BlockModel, ModelError, Runtime | Scope.Scope> {
  const name = nameOf(checkpoint)
  const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), asModelError(name))
  const pieces = yield* Pieces.make(name, checkpoint, shape, memory)
  return yield* make({ name, checkpoint, shape, pieces, runner: yield* (yield* Runtime).blocks(name) })
})
