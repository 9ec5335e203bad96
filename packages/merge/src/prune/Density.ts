/**
 * Density: how many scalars of its task vector each unit keeps, from the importance of the units.
 *
 * Units that harm or matter least are dropped, units whose score is not significant keep the minimum, the rest share
 * the budget by importance. The number kept in total is exact. This decides how many, `Prune` decides which.
 */
import { at, entryOr, known } from "@hila/core/Lookup"
import type { UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError } from "../MergeError.ts"

/** How the scalars to keep are shared among units. */
export interface DensityParams {
  /** Share of all scalars of all units to keep, ρ̄ in (0, 1]. */
  readonly density: number
  /** Share of the units, those with the lowest scores, that are dropped; [0, 1). */
  readonly dropFraction: number
  /** Exponent γ ≥ 0 of the importance: 0 gives all significant units one density. */
  readonly gamma: number
  /** Least density of a unit that stays, ρ_min in [0, 1]. */
  readonly rhoMin: number
}

/** What becomes of a unit: `kept` of its `size` scalars stay. */
export interface Allocation {
  readonly unit: string
  readonly size: number
  readonly kept: number
}

/** The number of scalars a density asks for, rounded down (a product a millionth short of an integer is that integer). */
export const budgetOf = (density: number, total: number): number => {
  const exact = density * total
  const near = Math.round(exact)
  return Math.abs(near - exact) < 1e-6 ? near : Math.floor(exact)
}

/**
 * Scalars to keep per unit, in the order of the rows; they sum to `budgetOf(density, total size)` exactly.
 *
 * Dropped: score + 2·SE < 0 (significantly harmful), or among the lowest `dropFraction` of the scores (number of units
 * rounded down, ties to the lower index). Not significant (|score| < 2·SE): density ρ_min. The rest:
 * ρ_u = clip(c · ρ̄ · Î_u^γ, ρ_min, 1) with c by bisection; each unit gets the floor of ρ_u · size, the remainder goes
 * one by one to the largest fractions (ties to the lower index). Fails where the units that stay cannot hold, or
 * cannot be brought down to, the budget.
 */
export const allocate = Effect.fnUntraced(function* (
  rows: ReadonlyArray<UnitTable.Row>,
  params: DensityParams,
) {
  const { density, gamma, rhoMin } = params
  yield* checkParams(params)
  const total = rows.reduce((sum, row) => sum + row.size, 0)
  const budget = budgetOf(density, total)
  const dropped = droppedUnits(rows, params.dropFraction)
  const stays = rows.flatMap((row, index) => (dropped.has(index) ? [] : [index]))
  // ρ̄ · Î^γ; 0 for a unit that stays at the minimum whatever c is
  const weights = rows.map((row) =>
    Math.abs(row.score) < 2 * row.standardError ? 0 : density * row.relative ** gamma,
  )
  const wanted = (index: number, c: number) =>
    Math.min(Math.max(c * at(weights, index), rhoMin), 1) * at(rows, index).size
  const kept = (c: number) => stays.reduce((sum, index) => sum + wanted(index, c), 0)
  const smallest = Math.min(...stays.map((index) => at(weights, index)).filter((weight) => weight > 0))
  const highest = Math.min(2 / smallest, Number.MAX_VALUE) // brings every unit with a weight to density 1
  const [least, most] = [kept(0), kept(highest)]
  if (budget > most + 1e-6 || budget < Math.floor(least)) {
    return yield* new MergeError({
      method: "prune",
      input: "density",
      problem: unreachable(density, least / total, most / total, dropped.size, rows.length),
    })
  }
  const c = bisect(kept, highest, budget)
  const exact = new Map(stays.map((index) => [index, wanted(index, c)]))
  return share(rows, exact, budget)
})

/** The largest c in [0, highest] (to the last bit) whose total does not pass the budget. */
const bisect = (total: (c: number) => number, highest: number, budget: number): number => {
  if (total(highest) <= budget) return highest
  let low = 0
  let high = highest
  for (;;) {
    const middle = low + (high - low) / 2
    if (middle <= low || middle >= high) return low
    if (total(middle) <= budget) low = middle
    else high = middle
  }
}

/** Indices of the units whose mask is zero. */
const droppedUnits = (rows: ReadonlyArray<UnitTable.Row>, dropFraction: number): ReadonlySet<number> => {
  const ascending = rows
    .map((_, index) => index)
    .toSorted((a, b) => at(rows, a).score - at(rows, b).score || a - b)
  const lowest = ascending.slice(0, budgetOf(dropFraction, rows.length))
  const harmful = ascending.filter((index) => at(rows, index).score + 2 * at(rows, index).standardError < 0)
  return new Set([...lowest, ...harmful])
}

/** Floors plus one for the largest fractions until the budget is met; a full unit takes no more. */
const share = (
  rows: ReadonlyArray<UnitTable.Row>,
  exact: ReadonlyMap<number, number>,
  budget: number,
): ReadonlyArray<Allocation> => {
  const kept = rows.map((_, index) => Math.floor(entryOr(exact, index, 0)))
  const fraction = (index: number) => entryOr(exact, index, 0) - at(kept, index)
  const order = [...exact.keys()].toSorted((a, b) => fraction(b) - fraction(a) || a - b)
  let rest = budget - kept.reduce((sum, count) => sum + count, 0)
  // One round is enough but for rounding in the sums; a round always places something while a unit has room.
  while (rest > 0) {
    const open = order.filter((index) => known(kept[index]) < known(rows[index]).size).slice(0, rest)
    for (const index of open) kept[index] = known(kept[index]) + 1
    if (open.length === 0) break
    rest -= open.length
  }
  return rows.map((row, index) => ({ unit: row.unit, size: row.size, kept: at(kept, index) }))
}

const unreachable = (
  density: number,
  least: number,
  most: number,
  dropped: number,
  units: number,
): string => {
  const kept = `the ${units - dropped} units that stay (${dropped} of ${units} dropped)`
  return density > least
    ? `${density} cannot be reached: ${kept} hold at most ${most.toFixed(4)} at the given rhoMin; lower density or dropFraction, or raise rhoMin`
    : `${density} cannot be reached: ${kept} hold at least ${least.toFixed(4)} at the given rhoMin; raise density or lower rhoMin`
}

const checkParams = Effect.fnUntraced(function* (params: DensityParams) {
  const ranges = [
    ["density", params.density > 0 && params.density <= 1, "above 0 and at most 1"],
    ["dropFraction", params.dropFraction >= 0 && params.dropFraction < 1, "from 0 to below 1"],
    ["gamma", params.gamma >= 0 && Number.isFinite(params.gamma), "finite and not negative"],
    ["rhoMin", params.rhoMin >= 0 && params.rhoMin <= 1, "from 0 to 1"],
  ] as const
  for (const [input, ok, range] of ranges) {
    if (!ok) {
      const problem = `expected a number ${range}, got ${params[input]}`
      return yield* new MergeError({ method: "prune", input, problem })
    }
  }
})
