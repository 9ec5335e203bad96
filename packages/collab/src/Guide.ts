/**
 * Which way of answering to choose for a budget, read from measured tables; nothing is extrapolated.
 *
 * For each budget of stored parameters, of operations and of latency: what is most accurate on the validation rows
 * among all that keep within it. The test rows only say what that choice is worth.
 */
import { Table } from "@hila/eval"
import type { Comparison, Row } from "./Comparison.ts"
import type { Latency } from "./Latency.ts"

interface Choice {
  readonly limit: number
  readonly row: Row
}

/** The frontier of a cost: each step up in cost that the validation rows reward. */
const frontier = (
  rows: ReadonlyArray<Row>,
  cost: (row: Row) => number | undefined,
): ReadonlyArray<Choice> => {
  const priced = rows
    .flatMap((row) => {
      const limit = cost(row)
      return row.kind === "oracle" || limit === undefined ? [] : [{ limit, row }]
    })
    .toSorted((a, b) => a.limit - b.limit || b.row.validationMacroF1 - a.row.validationMacroF1)
  const steps: Array<Choice> = []
  for (const choice of priced) {
    const last = steps.at(-1)
    if (last === undefined || choice.row.validationMacroF1 > last.row.validationMacroF1) steps.push(choice)
  }
  return steps
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`

/** The guide as text; latency only where it was measured. */
export const show = ({ rows }: Comparison, latency?: Latency): string => {
  const costs: ReadonlyArray<readonly [string, (row: Row) => number | undefined, (n: number) => string]> = [
    ["stored parameters", (row) => row.stored, (n) => `${(n / 1e3).toFixed(0)} k`],
    ["operations per text", (row) => row.flops, (n) => `${(n / 1e6).toFixed(2)} M`],
    [
      "latency, batch 1",
      (row) => latency?.rows.find(({ name }) => name === row.name)?.one.median,
      (n) => `${n.toFixed(2)} ms`,
    ],
  ]
  const body = costs.flatMap(([name, cost, text]) =>
    frontier(rows, cost).map(({ limit, row }, i) => [
      i === 0 ? name : "",
      `from ${text(limit)}`,
      row.name,
      percent(row.accuracy.value),
    ]),
  )
  return Table.render([["budget", "", "choose", "test accuracy"]], body)
}
