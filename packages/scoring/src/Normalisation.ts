/**
 * Normalised importance: scores of one expert made comparable between units, kinds and experts.
 *
 * The score itself, signed and in nats, stays as measured; only `relative` is derived here.
 */
import { at } from "@hila/core/Lookup"
import type { Unit } from "@hila/model"
import * as Statistics from "./Statistics.ts"

/** What normalisation needs to know of a unit. */
export interface Scored {
  readonly kind: Unit.UnitKind
  readonly score: number
  readonly standardError: number
}

/**
 * Relative importance Î of each unit, in the order given: P / mean of P over the units of the same kind, where
 * P = max(score, 0) and scores below two standard errors count as 0. Attention units (groups, query heads, key-value
 * heads) are one kind and MLPs another, so that MLPs, which hold most scalars, do not swamp the heads. Whole layers are
 * compared with layers.
 *
 * Each value is ≥ 0 and the mean inside a kind is 1. Where no unit of a kind helps significantly, all of them get 1.
 */
export const relative = (rows: ReadonlyArray<Scored>): ReadonlyArray<number> => {
  const positive = rows.map(({ score, standardError }) =>
    Statistics.isSignificant(score, standardError) ? Math.max(score, 0) : 0,
  )
  const sums = (isMlp: boolean) => {
    const own = positive.filter((_, index) => (rows[index]?.kind === "mlp") === isMlp)
    return { count: own.length, total: own.reduce((sum, value) => sum + value, 0) }
  }
  const kinds = { heads: sums(false), mlp: sums(true) }
  return rows.map(({ kind }, index) => {
    const { count, total } = kind === "mlp" ? kinds.mlp : kinds.heads
    // value × count / total and not value / mean: a mean of the smallest doubles would round to 0.
    return total === 0 ? 1 : (at(positive, index) * count) / total
  })
}
