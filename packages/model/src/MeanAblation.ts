/**
 * A model with units replaced by what they put out on the average.
 *
 * Zero is an output that later layers may never have seen; the mean over some data is one they are used to, so what is
 * lost is what the unit's output tells token by token (mean ablation: Wang et al., 2023).
 */
import * as Effect from "effect/Effect"
import type { Example } from "./Example.ts"
import type { Gates } from "./Gates.ts"
import * as GateValues from "./Gates.ts"
import { ModelError } from "./ModelError.ts"
import type { ModelShape } from "./ModelShape.ts"
import * as Batches from "./runtime/Batches.ts"
import * as Losses from "./runtime/Losses.ts"
import type { Tensors } from "./runtime/Protocol.ts"
import type { OpenProgram } from "./runtime/WorkerPool.ts"

/** Outputs of units where their projection reads them. */
export interface UnitMeans {
  /** [layers, heads · headDim] */
  readonly heads: Float32Array
  /** [layers, intermediateSize] */
  readonly mlp: Float32Array
}

export interface MeanAblation {
  readonly shape: ModelShape
  /** The means over all tokens of some examples that are read: of prompt and response, all but the last. */
  readonly means: (examples: ReadonlyArray<Example>) => Effect.Effect<UnitMeans, ModelError>
  /** Mean negative log-likelihood of each example's response, in nats per token, with units at gate 0 replaced. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    gates: Gates,
    means: UnitMeans,
  ) => Effect.Effect<Float64Array, ModelError>
}

/** What it is made of. `name` stands for the model in errors. */
export interface Parts {
  readonly name: string
  readonly shape: ModelShape
  readonly program: OpenProgram
}

/** Examples of equal length in batches: sums over them must not meet padding. */
const alike = (shape: ModelShape, examples: ReadonlyArray<Example>) =>
  [...Map.groupBy(examples.keys(), (k) => examples[k]?.tokens.length).values()].flatMap((indices) => {
    const own = [...indices]
    const extents = Losses.extents(own.flatMap((k) => examples[k] ?? []))
    return Batches.plan(shape, extents).map((batch) => batch.flatMap((at) => own[at] ?? []))
  })

/** The model over its open program. */
export const make = ({ name, program, shape }: Parts): MeanAblation => {
  const { headDim, heads, intermediateSize, layers } = shape
  /** Fresh copies, since buffers are handed over to the worker. */
  const feeds = (gates: Gates, means: UnitMeans): Tensors => ({
    "gates.heads": Batches.float32(gates.heads.slice(), [layers, heads]),
    "gates.mlp": Batches.float32(gates.mlp.slice(), [layers]),
    "means.heads": Batches.float32(means.heads.slice(), [layers, heads * headDim]),
    "means.mlp": Batches.float32(means.mlp.slice(), [layers, intermediateSize]),
  })
  const nothing: UnitMeans = {
    heads: new Float32Array(layers * heads * headDim),
    mlp: new Float32Array(layers * intermediateSize),
  }

  return {
    shape,
    means: Effect.fnUntraced(function* (examples) {
      yield* Losses.checkExamples(name, shape, examples)
      const gates = GateValues.filled(shape, 1)
      const sums = yield* Effect.forEach(
        alike(shape, examples),
        (batch) => {
          const inputs = {
            ...Losses.feeds(batch.flatMap((k) => examples[k] ?? [])),
            ...feeds(gates, nothing),
          }
          return program.lease((lease) => lease.run(inputs, ["sums.heads", "sums.mlp"]))
        },
        { concurrency: program.width },
      )
      const tokens = examples.reduce((sum, example) => sum + example.tokens.length - 1, 0)
      const mean = (output: string, length: number) => {
        const total = new Float64Array(length)
        for (const outputs of sums) {
          for (const [i, value] of Losses.float32(outputs[output]).entries())
            total[i] = (total[i] ?? 0) + value
        }
        return Float32Array.from(total, (value) => value / tokens)
      }
      return { heads: mean("sums.heads", nothing.heads.length), mlp: mean("sums.mlp", nothing.mlp.length) }
    }),
    losses: Effect.fnUntraced(function* (examples, gates, means) {
      const problem = GateValues.misfit(gates, shape)
      if (problem !== undefined) return yield* new ModelError({ model: name, problem, blame: "input" })
      return yield* Losses.losses(name, shape, program, examples, () => feeds(gates, means))
    }),
  }
}
