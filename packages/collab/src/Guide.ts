/**
 * Which way of answering to choose for a budget, read from measured tables; nothing is extrapolated.
 *
 * For each budget of stored parameters and of operations: what is most accurate on the validation rows among all that
 * keep within it. The test rows only say what that choice is worth.
 */
import { Artifact, type Figure } from "@hila/core"
import { Table } from "@hila/eval"
import * as Schema from "effect/Schema"
import type { Comparison } from "./Comparison.ts"

/** One way of answering and what it is worth. */
export const Way = Schema.Struct({
  name: Schema.String,
  /** Share of right answers on the test texts, 0 … 1. */
  accuracy: Schema.Finite,
  validationMacroF1: Schema.Finite,
})
export type Way = typeof Way.Type

const budgets = ["stored parameters", "operations per text", "latency, batch 1"] as const
type Budget = (typeof budgets)[number]

/** From this limit on, this way. */
const Choice = Schema.Struct({
  budget: Schema.Literals(budgets),
  /** Parameters, operations, or milliseconds. */
  limit: Schema.Finite,
  choose: Schema.String,
  accuracy: Schema.Finite,
})
export type Choice = typeof Choice.Type

/** The ways of a comparison that can be chosen: an oracle cannot. */
export const waysOf = ({ rows }: Pick<Comparison, "rows">) =>
  rows
    .filter(({ kind }) => kind !== "oracle")
    .map(({ accuracy, flops, name, stored, validationMacroF1 }) => ({
      name,
      accuracy: accuracy.value,
      validationMacroF1,
      stored,
      flops,
    }))

/** Each step up in a cost that the validation rows reward; ways without that cost take no part. */
export const frontier = <A extends Way>(
  budget: Budget,
  ways: ReadonlyArray<A>,
  cost: (way: A) => number | undefined,
): ReadonlyArray<Choice> => {
  const priced = ways
    .flatMap((way) => {
      const limit = cost(way)
      return limit === undefined ? [] : [{ limit, way }]
    })
    .toSorted((a, b) => a.limit - b.limit || b.way.validationMacroF1 - a.way.validationMacroF1)
  let best = -Infinity
  return priced.flatMap(({ limit, way: { accuracy, name, validationMacroF1 } }) => {
    if (validationMacroF1 <= best) return []
    best = validationMacroF1
    return [{ budget, limit, choose: name, accuracy }]
  })
}

/** The guide to a comparison. */
export const of = (comparison: Pick<Comparison, "rows">): ReadonlyArray<Choice> => [
  ...frontier("stored parameters", waysOf(comparison), ({ stored }) => stored),
  ...frontier("operations per text", waysOf(comparison), ({ flops }) => flops),
]

const units: Readonly<Record<Budget, (limit: number) => string>> = {
  "stored parameters": (n) => `${(n / 1e3).toFixed(0)} k`,
  "operations per text": (n) => `${(n / 1e6).toFixed(2)} M`,
  "latency, batch 1": (n) => `${n.toFixed(2)} ms`,
}

const head = ["budget", "", "choose", "test accuracy"]

const cells = (choices: ReadonlyArray<Choice>): ReadonlyArray<ReadonlyArray<string>> =>
  choices.map(({ accuracy, budget, choose, limit }, i) => [
    budget === choices[i - 1]?.budget ? "" : budget,
    `from ${units[budget](limit)}`,
    choose,
    `${(100 * accuracy).toFixed(1)} %`,
  ])

/** Choices as text. */
export const show = (choices: ReadonlyArray<Choice>): string => Table.render([head], cells(choices))

/** Choices as a table on a page. */
export const table = (title: string, choices: ReadonlyArray<Choice>): Figure => ({
  _tag: "Table",
  title,
  head,
  rows: cells(choices),
})

export const artifact: Artifact.Artifact<ReadonlyArray<Choice>> = Artifact.json(
  "guide",
  Schema.Array(Choice),
  {
    summary: (choices) => `${choices.length} choices`,
    show,
    figures: (choices) => [table("What to choose for a budget", choices)],
  },
)
