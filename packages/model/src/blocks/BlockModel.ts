/**
 * A model that runs piece by piece within a memory budget, forward and backward.
 *
 * Answers are those of a `CausalModel`, up to rounding; what differs is that its weights need not fit into memory. Every
 * piece of the weights is loaded once for everything that wants it, so work that comes together is done together. It
 * writes no text: `CausalModel` does.
 */
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../Checkpoint.ts"
import type { Example } from "../Example.ts"
import * as Gates from "../Gates.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Backward from "./Backward.ts"
import type { Budget } from "./Budget.ts"
import type { Gating, Parts } from "./Forward.ts"
import * as Passes from "./Passes.ts"
import type { Residual } from "./Residual.ts"

/** Gates are 1 where none are given. */
interface Options {
  readonly gates?: Gates.Gates
}

export interface BlockModel {
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  /** How the memory is spent. */
  readonly budget: Budget
  /** The residual stream of rows of tokens before layer `upTo`, 0…layers. */
  readonly hidden: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    upTo: number,
    options?: Options,
  ) => Effect.Effect<Residual, ModelError>
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

const gating = (shape: ModelShape): Gating<Gates.Gates> => ({
  misfit: (gates) => Gates.misfit(gates, shape),
  ofLayer: ({ heads, mlp }, l) => ({
    "gates.heads": Batches.float32(heads.slice(l * shape.heads, (l + 1) * shape.heads), [1, shape.heads]),
    "gates.mlp": Batches.float32(mlp.slice(l, l + 1), [1]),
  }),
  ofRest: () => ({}),
})

/** The model of a checkpoint over its pieces. */
export const make = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  pieces: Omit<Parts<Gates.Gates>, "gating" | "checkpoint">,
): Effect.fn.Return<BlockModel> {
  const { shape } = pieces
  const parts = { ...pieces, checkpoint, gating: gating(shape) }
  const { check, hidden, losses } = Passes.make(parts)
  const backward = yield* Effect.cached(Backward.graphs(parts))
  const noGates = Gates.filled(shape, 1)
  return {
    checkpoint,
    shape,
    budget: pieces.pieces.budget,
    hidden: (rows, upTo, { gates = noGates } = {}) => hidden(rows, upTo, gates),
    losses: (examples, { gates = noGates } = {}) => losses(examples, gates),
    gradients: Effect.fnUntraced(function* (examples, { gates = noGates } = {}) {
      yield* check(examples, [gates])
      return yield* Backward.gradients(parts, yield* backward, examples, gates)
    }),
  }
})
