/**
 * Importance shrunk by its own error: Î' = 1 + s (Î − 1) with s = I² / (I² + SE²), so that a unit of which little is known
 * counts as an ordinary one, and none is dropped or starved for being uncertain (the empirical Bayes of one number:
 * Efron & Morris, 1975). Scores become Î' with no error, since what they were is in it.
 */
import { Stage } from "@hila/core"
import { at, entry } from "@hila/core/Lookup"
import { UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import type { Scored } from "./Hila.ts"

/** How much of a score is signal: 1 where it has no error, 0 where it is 0. */
const reliability = ({ score, standardError }: UnitTable.Row): number =>
  score === 0 ? 0 : score ** 2 / (score ** 2 + standardError ** 2)

/** The rows with shrunk importance, mean 1 inside each kind as before. */
export const shrunkRows = (rows: ReadonlyArray<UnitTable.Row>): ReadonlyArray<UnitTable.Row> => {
  const raw = rows.map((row) => 1 + reliability(row) * (row.relative - 1))
  const meanOf = (kind: UnitTable.Row["kind"]) => {
    const own = raw.filter((_, i) => at(rows, i).kind === kind)
    return own.reduce((sum, value) => sum + value, 0) / own.length
  }
  const means = new Map([...new Set(rows.map(({ kind }) => kind))].map((kind) => [kind, meanOf(kind)]))
  return rows.map((row, i) => {
    const mean = entry(means, row.kind)
    const relative = mean > 0 ? at(raw, i) / mean : 1
    return { ...row, relative, score: relative, standardError: 0 }
  })
}

/** A table of importance, shrunk. */
export const shrunk = Stage.make({
  name: "shrunk",
  version: 1,
  inputs: { importance: UnitTable.artifact },
  output: UnitTable.artifact,
  run: ({ importance: { method, rows, scheme } }) =>
    Effect.succeed({ scheme, method: `${method}, shrunk`, rows: shrunkRows(rows) }),
})

/** The tables of several experts, shrunk. */
export const shrunkOf = (scored: ReadonlyArray<Scored>): ReadonlyArray<Scored> =>
  scored.map((importance, i) => shrunk({ importance }, {}, `${i}`))
