/**
 * The models between a base and an expert: W = base + gate · (expert − base), one gate per unit.
 *
 * One session holds both models' weights; moving a unit is an input of the run, not a new model. The loss can be
 * differentiated with respect to every gate: ∂Loss/∂gate = ⟨∂Loss/∂W, expert − base⟩ over the unit's weights.
 */
import type * as Scope from "effect/Scope"
import * as SharedShape from "../architectures/SharedShape.ts"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import * as InterpolatedGraph from "../graphs/InterpolatedGraph.ts"
import { Runtime } from "../runtime/Runtime.ts"
import { at, entry, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { InterpolatedGates } from "../attribution/InterpolatedGates.ts"
import * as Gates from "../attribution/InterpolatedGates.ts"
import type { Example } from "../text/Example.ts"
import * as LossGradients from "../attribution/LossGradients.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"

/** One example at some gates. */
export interface InterpolatedGradient {
  /** Mean negative log-likelihood of the response, in nats per token. */
  readonly loss: number
  /** The derivative of that loss with respect to each gate. */
  readonly gates: InterpolatedGates
}

export interface InterpolatedModel {
  readonly shape: ModelShape
  /** Mean negative log-likelihood of each example's response at these gates, in nats per token. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    gates: InterpolatedGates,
  ) => Effect.Effect<Float64Array, ModelError>
  /** For each example, its loss and the derivatives of it with respect to every gate, in nats. */
  readonly gradients: (
    examples: ReadonlyArray<Example>,
    gates: InterpolatedGates,
  ) => Effect.Effect<ReadonlyArray<InterpolatedGradient>, ModelError>
}

/** What an interpolated model is made of. `name` stands for it in errors. */
export interface Parts {
  readonly name: string
  readonly shape: ModelShape
  /** The program of losses, and that with derivatives, each opened when it is first asked for. */
  readonly program: Effect.Effect<OpenProgram, ModelError>
  readonly gradientProgram: Effect.Effect<OpenProgram, ModelError>
}

/** The model over its interpolating programs. */
export const make = ({ gradientProgram, name, program, shape }: Parts): InterpolatedModel => {
  const { heads, kvHeads } = shape
  const layers = shape.layers.length

  const check = (gates: InterpolatedGates): Effect.Effect<void, ModelError> => {
    const problem = Gates.misfit(gates, shape)
    return problem === undefined
      ? Effect.void
      : Effect.fail(new ModelError({ model: name, problem, blame: "input" }))
  }

  /** The gate inputs of a run: fresh copies, since buffers are handed over to the worker. */
  const feeds = (gates: InterpolatedGates): Tensors => ({
    "gates.queryHeads": Batches.float32(gates.queryHeads.slice(), [layers, heads]),
    "gates.kvHeads": Batches.float32(gates.kvHeads.slice(), [layers, kvHeads]),
    "gates.mlp": Batches.float32(gates.mlp.slice(), [layers]),
    "gates.residual": Batches.float32(Float32Array.of(gates.residual), []),
  })

  return {
    shape,
    losses: Effect.fnUntraced(function* (examples, gates) {
      yield* check(gates)
      return yield* Losses.losses(name, shape, yield* program, examples, () => feeds(gates))
    }),
    gradients: Effect.fnUntraced(function* (examples, gates) {
      yield* check(gates)
      const found = new Map<number, InterpolatedGates>()
      const losses = yield* LossGradients.run(
        {
          model: name,
          shape,
          program: yield* gradientProgram,
          examples,
          batches: LossGradients.together(shape, examples),
          scale: 1,
          extra: () => feeds(gates),
          fetches: [
            "gradient.queryHeads",
            "gradient.kvHeads",
            "gradient.mlp",
            "gradient.residual",
            "gradient.residualRows",
          ],
        },
        ({ batch, output }) => {
          /** A sequence's part of an output that has as many numbers for each. */
          const part = (name: string, sequence: number) => {
            const all = output(name)
            const size = all.length / batch.length
            return all.slice(sequence * size, (sequence + 1) * size)
          }
          const ofRows = output("gradient.residualRows")
          let row = 0
          batch.forEach((example, sequence) => {
            const { promptLength, tokens } = at(examples, example)
            let residual = at(part("gradient.residual", sequence), 0)
            for (const end = row + tokens.length - promptLength; row < end; row++)
              residual += known(ofRows[row])
            found.set(example, {
              queryHeads: part("gradient.queryHeads", sequence),
              kvHeads: part("gradient.kvHeads", sequence),
              mlp: part("gradient.mlp", sequence),
              residual,
            })
          })
        },
      )
      return examples.map((_, i) => ({ loss: at(losses, i), gates: entry(found, i) }))
    }),
  }
}

/** Opens the models between a base and an expert of the same shape, base + gate · (expert − base). */
export const open = Effect.fn("InterpolatedModel.open")(function* (
  base: Checkpoint,
  expert: Checkpoint,
): Effect.fn.Return<InterpolatedModel, ModelError, Runtime | Scope.Scope> {
  const runtime = yield* Runtime
  const name = SharedShape.nameOf(expert)
  const shape = yield* SharedShape.of(base, [expert])
  const ends = { base: base.tensors, expert: expert.tensors }
  return make({
    name,
    shape,
    program: yield* runtime.later(name, () => InterpolatedGraph.delta(shape, ends)),
    gradientProgram: yield* runtime.later(name, () => InterpolatedGraph.deltaGradient(shape, ends)),
  })
})
