/**
 * The models between a base and an expert: W = base + gate · (expert − base), one gate per unit.
 *
 * One session holds both models' weights; moving a unit is an input of the run, not a new model.
 */
import * as Effect from "effect/Effect"
import type { DeltaGates } from "./DeltaGates.ts"
import type { Example } from "./Example.ts"
import { ModelError } from "./ModelError.ts"
import type { ModelShape } from "./ModelShape.ts"
import * as Batches from "./runtime/Batches.ts"
import * as Losses from "./runtime/Losses.ts"
import type { OpenProgram } from "./runtime/WorkerPool.ts"

export interface DeltaModel {
  readonly shape: ModelShape
  /** Mean negative log-likelihood of each example's response at these gates, in nats per token. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    gates: DeltaGates,
  ) => Effect.Effect<Float64Array, ModelError>
}

/** The model over an open delta program; `name` stands for it in errors. */
export const make = (name: string, shape: ModelShape, program: OpenProgram): DeltaModel => ({
  shape,
  losses: Effect.fnUntraced(function* (examples, gates) {
    const { heads, kvHeads, layers } = shape
    const sizes = [gates.queryHeads.length, gates.kvHeads.length, gates.mlp.length]
    const expected = [layers * heads, layers * kvHeads, layers]
    if (sizes.some((size, i) => size !== expected[i])) {
      return yield* new ModelError({
        model: name,
        problem: `gates: expected ${expected.join(", ")} numbers (query heads, key-value heads, MLPs), got ${sizes.join(", ")}`,
        blame: "input",
      })
    }
    return yield* Losses.losses(name, shape, program, examples, () => ({
      "gates.queryHeads": Batches.float32(gates.queryHeads.slice(), [layers, heads]),
      "gates.kvHeads": Batches.float32(gates.kvHeads.slice(), [layers, kvHeads]),
      "gates.mlp": Batches.float32(gates.mlp.slice(), [layers]),
      "gates.residual": Batches.float32(Float32Array.of(gates.residual), []),
    }))
  }),
})
