/**
 * The second order of what an expert's change is worth, parameter by parameter: (∂Loss/∂W · (W − base))² added up over
 * each unit, example by example.
 *
 * The mean over examples is Σ F_ii δ_i² with the diagonal of the empirical Fisher information at the expert.
 */
import type * as Scope from "effect/Scope"
import * as SharedShape from "../architectures/SharedShape.ts"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import { deltaFisher } from "../graphs/InterpolatedFisherGraph.ts"
import { Runtime } from "../runtime/Runtime.ts"
import { at, entry } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { InterpolatedGates } from "./InterpolatedGates.ts"
import type { Example } from "../text/Example.ts"
import * as LossGradients from "./LossGradients.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"

/** Numbers for units, laid out as gates are. */
export type UnitSquares = Omit<InterpolatedGates, "residual">

export interface InterpolatedFisher {
  readonly shape: ModelShape
  /** The sums of squares for each example's loss, in nats²; a pass forward and back per example. */
  readonly squares: (
    examples: ReadonlyArray<Example>,
  ) => Effect.Effect<ReadonlyArray<UnitSquares>, ModelError>
}

/** What it is made of. `name` stands for the expert in errors. */
export interface Parts {
  readonly name: string
  readonly shape: ModelShape
  readonly program: OpenProgram
}

/** The sums over their open program. */
export const make = ({ name, program, shape }: Parts): InterpolatedFisher => ({
  shape,
  squares: Effect.fnUntraced(function* (examples) {
    const found = new Map<number, UnitSquares>()
    yield* LossGradients.run(
      {
        model: name,
        shape,
        program,
        examples,
        // Squares are of one example's gradient, which takes a run of its own.
        batches: LossGradients.alone(examples),
        scale: 1,
        extra: () => ({}),
        fetches: ["squares.queryHeads", "squares.kvHeads", "squares.mlp"],
      },
      ({ batch, output }) =>
        found.set(at(batch, 0), {
          queryHeads: output("squares.queryHeads"),
          kvHeads: output("squares.kvHeads"),
          mlp: output("squares.mlp"),
        }),
    )
    return examples.map((_, k) => entry(found, k))
  }),
})

/** Opens the second order of what an expert's change is worth. */
export const open = Effect.fn("InterpolatedFisher.open")(function* (
  base: Checkpoint,
  expert: Checkpoint,
): Effect.fn.Return<InterpolatedFisher, ModelError, Runtime | Scope.Scope> {
  const name = SharedShape.nameOf(expert)
  const shape = yield* SharedShape.of(base, [expert])
  const program = yield* (yield* Runtime).start(name, deltaFisher(shape, base.tensors, expert.tensors))
  return make({ name, shape, program })
})
