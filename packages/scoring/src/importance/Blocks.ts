/** Blocks of one unit each, for methods that compare losses unit by unit. */
import type { Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import type { Block, MethodError, Task } from "./Method.ts"

/** left − right, example by example. */
export const subtract = (left: ArrayLike<number>, right: ArrayLike<number>): ReadonlyArray<number> =>
  Array.from(left, (value, k) => value - (right[k] ?? 0))

/** One block per unit; `measure` gives the unit's value per example. */
export const unitByUnit = (
  task: Task,
  measure: (unit: Unit.Unit) => Effect.Effect<ReadonlyArray<number>, MethodError>,
): ReadonlyArray<Block> =>
  task.units.map((unit) => ({ id: unit.id, measure: Effect.map(measure(unit), (values) => [values]) }))

/** One block for all units; `score` gives the unit's one value. */
export const withoutData = (task: Task, score: (unit: Unit.Unit) => number): ReadonlyArray<Block> => [
  { id: "all", measure: Effect.sync(() => task.units.map((unit) => [score(unit)])) },
]
