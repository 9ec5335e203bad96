/** Ways of cutting a measurement into parts. */
import { at } from "@hila/core/Lookup"
import { InterpolatedGates, type Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import type { Method, MethodError, Models, Part, Subject, Values } from "./Method.ts"

/** left − right, example by example. */
export const subtract = (left: ArrayLike<number>, right: ArrayLike<number>): ReadonlyArray<number> =>
  Array.from(left, (value, k) => value - at(right, k))

/** The parts' units, one part after the other. */
export const concatenate: Method["combine"] = (parts) => parts.flat()

/** Tokens that a part measures, about: what a stage that is killed loses at most. */
const partTokens = 2 ** 16

/**
 * Parts of units that follow one another in one layer, so many that a part is worth its start; `measure` gives their
 * values.
 */
export const layerByLayer = (
  task: Subject,
  measure: (units: ReadonlyArray<Unit.Unit>) => Effect.Effect<Values, MethodError>,
): ReadonlyArray<Part> => {
  const tokens = task.golden.reduce((sum, example) => sum + example.tokens.length, 0)
  const most = Math.max(4, Math.floor(partTokens / Math.max(tokens, 1)))
  const blocks: Array<Array<Unit.Unit>> = []
  for (const unit of task.units) {
    const block = blocks.at(-1)
    if (block !== undefined && block.length < most && block[0]?.layer === unit.layer) block.push(unit)
    else blocks.push([unit])
  }
  return blocks.map((units) => ({
    id: [units[0], ...units.slice(1).slice(-1)].map((unit) => unit?.id).join(" to "),
    measure: measure(units),
  }))
}

/** One part for all units; `score` gives the unit's one value. */
export const withoutData = (task: Subject, score: (unit: Unit.Unit) => number): ReadonlyArray<Part> => [
  { id: "all", measure: Effect.sync(() => task.units.map((unit) => [score(unit)])) },
]

/** ⟨∂Loss_k/∂θ, δ_u⟩ for every unit u and example k with all gates at `at` (0 base, 1 expert): [units][examples]. */
export const gradientAt = Effect.fnUntraced(function* (
  { golden, units }: Subject,
  models: Pick<Models, "delta">,
  at: number,
): Effect.fn.Return<Values, MethodError> {
  const delta = yield* models.delta
  const gradients = yield* delta.gradients(golden, InterpolatedGates.filled(delta.shape, at))
  return units.map((unit) => gradients.map(({ gates }) => InterpolatedGates.along(gates, delta.shape, unit)))
})
