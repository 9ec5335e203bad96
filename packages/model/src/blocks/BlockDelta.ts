/**
 * The models between a base and an expert, run piece by piece within a memory budget.
 *
 * Answers are those of a `DeltaModel`, up to rounding. A pass may be kept before the layer whose units are moved, so
 * that what every unit of a layer is worth takes only the layers behind it; where only that layer is between the models,
 * `forwardFrom` goes through it alone, and a `BlockModel` of the expert goes on. Derivatives are the `DeltaModel`'s.
 */
import * as DeltaGates from "../DeltaGates.ts"
import type { ModelShape } from "../ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import type { Budget } from "./Budget.ts"
import type { Gating, Parts } from "./Forward.ts"
import * as Passes from "./Passes.ts"

export interface BlockDelta extends Omit<Passes.Passes<DeltaGates.DeltaGates>, "check"> {
  readonly shape: ModelShape
  /** How the memory is spent; a block is that of both models. */
  readonly budget: Budget
}

const gating = (shape: ModelShape): Gating<DeltaGates.DeltaGates> => {
  const { heads, kvHeads } = shape
  const ofRest = ({ residual }: DeltaGates.DeltaGates) => ({
    "gates.residual": Batches.float32(Float32Array.of(residual), []),
  })
  return {
    misfit: (gates) => DeltaGates.misfit(gates, shape),
    ofLayer: (gates, l) => ({
      ...ofRest(gates),
      "gates.queryHeads": Batches.float32(gates.queryHeads.slice(l * heads, (l + 1) * heads), [1, heads]),
      "gates.kvHeads": Batches.float32(gates.kvHeads.slice(l * kvHeads, (l + 1) * kvHeads), [1, kvHeads]),
      "gates.mlp": Batches.float32(gates.mlp.slice(l, l + 1), [1]),
    }),
    ofRest,
  }
}

/** The models between two checkpoints over their pieces. */
export const make = (pieces: Omit<Parts<DeltaGates.DeltaGates>, "gating">): BlockDelta => {
  const { shape } = pieces
  const { check: _, ...passes } = Passes.make({ ...pieces, gating: gating(shape) })
  return { shape, budget: pieces.pieces.budget, ...passes }
}
