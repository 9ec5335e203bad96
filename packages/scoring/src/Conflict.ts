/**
 * Conflict: how much less a unit's change is worth to its expert inside a merged model than in the expert itself.
 *
 *     I_u = Loss(expert − δ_u) − Loss(expert)              its contribution in its own model (`Revert`)
 *     J_u = Loss(merged − c_u δ_u) − Loss(merged)          in the merged model, which holds c_u times the change
 *     g_u = I_u − J_u
 *
 * on the expert's own answers. Above 0, what the other experts brought takes from what the unit did; at 0 or below
 * they do not stand in its way. The conflict of Hi-Merging (ACL 2025), c(own model) − c(merged model), with loss in
 * place of task score, heads and MLPs beside layers, and the revert half of its contribution alone. What follows from
 * conflicts, keeping one expert's change or pruning once more, is the merge's matter.
 */
import { Artifact } from "@hila/core"
import { at, known } from "@hila/core/Lookup"
import { type Checkpoint, type Example, Unit, UnitInterventions, UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Importance from "./Importance.ts"
import type { Part, Task, Values } from "./importance/Method.ts"
import { layerByLayer, subtract } from "./importance/Parts.ts"
import type * as Scores from "./Scores.ts"
import { ScoringError } from "./ScoringError.ts"
import * as Statistics from "./Statistics.ts"

/** A signed mean over the examples with its standard error, and the values, [examples]; all in nats. */
const Measured = Schema.Struct({
  score: Schema.Finite,
  standardError: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  values: Schema.Array(Schema.Finite),
})

/** One unit. */
export const Row = Schema.Struct({
  unit: Schema.String,
  kind: UnitTable.Kind,
  layer: Schema.Int,
  index: Schema.Int,
  /** Scalars. */
  size: Schema.Int,
  /** How much of the expert's change in this unit the merged model holds. */
  coefficient: Schema.Finite,
  /** I: the contribution in the expert. */
  own: Measured,
  /** J: the contribution in the merged model. */
  merged: Measured,
  /** g = I − J, its error from the paired differences. */
  conflict: Measured,
})

/** The conflicts of one expert's units with a merged model. */
export const Conflicts = Schema.Struct({
  scheme: UnitTable.Scheme,
  examples: Schema.Int,
  rows: Schema.Array(Row),
})
export type Conflicts = typeof Conflicts.Type

const summary = ({ examples, rows }: Conflicts): string => {
  const significant = rows.filter(
    ({ conflict }) => conflict.score > 0 && Statistics.isSignificant(conflict.score, conflict.standardError),
  )
  return `${significant.length} of ${rows.length} units in conflict, ${examples} examples`
}

/** The conflicts as text, the largest first. */
const show = (conflicts: Conflicts): string =>
  [
    summary(conflicts),
    `  ${"unit".padEnd(24)} ${"own".padStart(11)} ${"merged".padStart(11)} ${"conflict".padStart(11)}`,
    ...conflicts.rows
      .toSorted((a, b) => b.conflict.score - a.conflict.score)
      .map(({ conflict, merged, own, unit }) => {
        const numbers = [own, merged, conflict].map(({ score }) => score.toExponential(3).padStart(11))
        return `  ${unit.padEnd(24)} ${numbers.join(" ")} ± ${conflict.standardError.toExponential(1)}`
      }),
  ].join("\n")

/** Conflicts as JSON. */
export const artifact: Artifact.Artifact<Conflicts> = Artifact.json("conflicts", Conflicts, { summary, show })

/** What is compared. */
export interface Input {
  readonly base: Checkpoint.Checkpoint
  /** Of a merge that prunes its experts, the pruned one: the contribution that the merge took. */
  readonly expert: Checkpoint.Checkpoint
  readonly merged: Checkpoint.Checkpoint
  /** The expert's own answers; two or more. */
  readonly golden: ReadonlyArray<Example.Example>
  /** The expert's `revert` scores on the same answers, where they are there already. */
  readonly importance?: Scores.Scores | undefined
}

export interface Options {
  readonly scheme: Unit.UnitScheme
  /** The coefficient that the expert's change has in the merged model: one for all units, or one for each in their order. */
  readonly coefficient: number | ReadonlyArray<number>
}

const refuse = (problem: string) => Effect.fail(new ScoringError({ subject: "conflict", problem }))

/** The coefficient of each unit; fails where there are not as many as units. */
const coefficientsOf = (
  { coefficient }: Options,
  units: ReadonlyArray<Unit.Unit>,
): Effect.Effect<ReadonlyArray<number>, ScoringError> => {
  if (typeof coefficient === "number") return Effect.succeed(units.map(() => coefficient))
  return coefficient.length === units.length
    ? Effect.succeed(coefficient)
    : refuse(
        `there are ${units.length} units and ${coefficient.length} coefficients; give one, or one per unit`,
      )
}

/** Fails unless scores are `revert`'s of these units on as many examples. */
const checkScores = (
  { examples, method, rows }: Scores.Scores,
  units: ReadonlyArray<Unit.Unit>,
  golden: Input["golden"],
): Effect.Effect<void, ScoringError> => {
  if (method !== "revert") {
    return refuse(`the given importance was measured by ${method}; give scores by revert, or none`)
  }
  const same = rows.length === units.length && rows.every(({ unit }, at) => unit === units[at]?.id)
  if (!same)
    return refuse("the given importance is of other units; give scores of this expert and scheme, or none")
  return examples === golden.length
    ? Effect.void
    : refuse(
        `the given importance is of ${examples} examples, the golden data has ${golden.length}; give both of one set`,
      )
}

/** A measurement in parts: those of I, where it is not known, and those of J. */
export const prepare = Effect.fnUntraced(function* (input: Input, options: Options) {
  const { base, expert, golden, importance, merged } = input
  const { units } = yield* Unit.partition(expert, options.scheme)
  const coefficients = yield* coefficientsOf(options, units)
  if (importance !== undefined) yield* checkScores(importance, units, golden)
  yield* Importance.checkGolden("conflict", golden)
  const task = { base, expert, golden, units, seed: 0, quadrature: 1 }
  const moves = yield* UnitInterventions.openMoves({ from: merged, base, expert }, golden)
  const inMerged = Effect.fnUntraced(function* (own: ReadonlyArray<Unit.Unit>) {
    const whole = yield* moves.unmoved
    const lost = yield* moves.losses(
      own.map((unit) => ({ unit, step: -at(coefficients, units.indexOf(unit)) })),
    )
    return lost.map((losses) => subtract(losses, whole))
  })
  const own = importance === undefined ? yield* ownParts(task) : []
  const rest = layerByLayer(task, inMerged).map(({ id, measure: run }): Part => ({
    id: `merged ${id}`,
    measure: run,
  }))
  const parts = [...own, ...rest]
  const combine = (found: ReadonlyArray<Values>): Conflicts => {
    const inExpert =
      importance === undefined
        ? Importance.combine("revert", found.slice(0, own.length))
        : importance.rows.map(({ values }) => values)
    const lost = found.slice(own.length).flat()
    return {
      scheme: options.scheme,
      examples: golden.length,
      rows: units.map(({ id, index, kind, layer, size }, at) => {
        const [first, second] = [known(inExpert[at]), known(lost[at])]
        return {
          unit: id,
          kind,
          layer,
          index,
          size,
          coefficient: known(coefficients[at]),
          own: measured(first),
          merged: measured(second),
          conflict: measured(subtract(first, second)),
        }
      }),
    }
  }
  return { parts, combine }
})

/** The parts of revert importance in the expert. */
const ownParts = Effect.fnUntraced(function* (task: Task) {
  const models = yield* Importance.models(task.base, task.expert, task.golden)
  const parts = yield* Importance.parts(task, models, "revert")
  return parts.map(({ id, measure: run }): Part => ({ id: `own ${id}`, measure: run }))
})

const measured = (values: ReadonlyArray<number>) => ({
  score: Statistics.mean(values),
  standardError: Statistics.standardError(values),
  values,
})

/** The conflict of every unit of an expert with a merged model: two forward passes per unit and example, or one. */
export const measure = Effect.fn("Conflict.measure")(function* (input: Input, options: Options) {
  const { combine, parts } = yield* prepare(input, options)
  return combine(yield* Effect.forEach(parts, (part) => part.measure))
}, Effect.scoped)
