/**
 * Conflict in a merge of several experts, group by group (a layer or a unit), measured without writing a checkpoint.
 *
 * The contribution of what a model X has changed in group l, to the task of expert m, is the sum of both ends of its
 * worth (Hi-Merging: Fu et al., ACL 2025, arXiv 2506.12379, section 3.2.1; twice the two-point Shapley estimate):
 *
 *     α = Loss_m(X − δ_X) − Loss_m(X)                 what is lost when the change is taken out of X
 *     β = Loss_m(base) − Loss_m(base + δ_X)           what is gained when it alone is put into the base
 *     c = α + β
 *
 * and the conflict γ_m = c_m(own model) − c_m(merged model): above 0, the merged layer serves m less than m's own would.
 * X is first expert m as the merge takes it (pruned and scaled as there, so that a coefficient below 1 is no conflict in
 * itself), then the merged model G. Whose change δ_G is, is an option. `all`: everything that G has in the group, as
 * the authors' scripts do it (layer i of every expert goes into the base at once); what the others bring in m's favour
 * counts for the merge. `own`: what m has put into G; β is then the same in both models and falls out, γ = α − α.
 *
 * Passes over every expert's golden examples, R groups: 2 R + 2 in the own model, once, 2 R + 1 in the merged model, R + 1
 * whenever it is measured again (`all`; R + 1 always with `own`). `Conflict` measures one expert in a model on disk.
 */
import { at } from "@hila/core/Lookup"
import type { Example, ModelError, VirtualMerge } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { checkGolden } from "./Importance.ts"
import { subtract } from "./importance/Parts.ts"
import * as Statistics from "./Statistics.ts"

/** What one expert has to say about one group, nats per token, signed. */
export const Claim = Schema.Struct({
  /** c in the own model. */
  worth: Schema.Finite,
  /** γ, with the standard error of the paired differences. */
  conflict: Schema.Finite,
  standardError: Schema.Finite,
})
export type Claim = typeof Claim.Type

/** Whose change is taken out of the merged model. */
export const Removed = Schema.Literals(["all", "own"])

export interface Input {
  /** base + Σ w (direction − base). */
  readonly merge: VirtualMerge.VirtualMerge
  /** Which expert a direction belongs to, [directions]; an expert may have several. */
  readonly owners: ReadonlyArray<number>
  /** The experts' own answers, in their order; two or more each. */
  readonly golden: ReadonlyArray<ReadonlyArray<Example.Example>>
  /** The coefficients that the merge takes its experts with, [directions, groups]. */
  readonly weights: Float32Array
  readonly removed: typeof Removed.Type
}

/** Measures claims in the merge with other coefficients, [directions, groups]; for groups by their index, [groups][experts]. */
export type Measure = (
  weights: Float32Array,
  groups: ReadonlyArray<number>,
) => Effect.Effect<ReadonlyArray<ReadonlyArray<Claim>>, ModelError>

/** The measure of a merge. What was measured once is kept for as long as the measure is. */
export const make = Effect.fnUntraced(function* ({ golden, merge, owners, removed, weights: first }: Input) {
  for (const examples of golden) yield* checkGolden("conflict", examples)
  const count = merge.groups.length
  const known = new Map<string, Float64Array>()
  const losses = Effect.fnUntraced(function* (expert: number, weights: Float32Array) {
    const key = `${expert} ${weights.join()}`
    const found = known.get(key) ?? (yield* merge.losses(at(golden, expert), weights))
    known.set(key, found)
    return found
  })
  /** The coefficients where a test by direction and group holds, and 0 elsewhere. */
  const where = (weights: Float32Array, holds: (direction: number, group: number) => boolean) =>
    weights.map((weight, i) => (holds(Math.floor(i / count), i % count) ? weight : 0))
  const none = first.map(() => 0)

  const claim = Effect.fnUntraced(function* (expert: number, group: number, weights: Float32Array) {
    const of = (model: Float32Array) => losses(expert, model)
    const lost = Effect.fnUntraced(function* (model: Float32Array, left: Float32Array) {
      return subtract(yield* of(left), yield* of(model))
    })
    const gained = Effect.fnUntraced(function* (model: Float32Array) {
      return subtract(yield* of(none), yield* of(where(model, (_, at) => at === group)))
    })
    const own = where(first, (direction) => owners[direction] === expert)
    const [alpha, beta] = [
      yield* lost(
        own,
        where(own, (_, at) => at !== group),
      ),
      yield* gained(own),
    ]
    const stays = (direction: number, at: number) =>
      at !== group || (removed === "own" && owners[direction] !== expert)
    const inMerged = yield* lost(weights, where(weights, stays))
    const addedInMerged = removed === "own" ? beta : yield* gained(weights)
    const worth = alpha.map((value, k) => value + at(beta, k))
    const conflict = worth.map((value, k) => value - at(inMerged, k) - at(addedInMerged, k))
    return {
      worth: Statistics.mean(worth),
      conflict: Statistics.mean(conflict),
      standardError: Statistics.standardError(conflict),
    }
  })

  const measure: Measure = (weights, groups) =>
    Effect.forEach(groups, (group) => Effect.forEach(golden, (_, expert) => claim(expert, group, weights)))
  return measure
})
