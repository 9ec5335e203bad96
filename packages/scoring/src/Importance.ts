/**
 * Importance of units: what each head, key-value group and MLP of an expert's change is worth to the expert.
 *
 * Every method gives a signed value per unit and golden example; here they become scores: means, standard errors and
 * normalised importance. Losses are compared pair by pair on the same examples, which takes the examples' own
 * difficulty out of the error.
 */
import { at } from "@hila/core/Lookup"
import {
  type Checkpoint,
  type Example,
  InterpolatedFisher,
  InterpolatedModel,
  type Runtime,
  Unit,
  UnitInterventions,
} from "@hila/model"
import * as SharedShape from "@hila/model/architectures/SharedShape"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Amount, Cost, MethodError, Models, Part, Task, Values } from "./importance/Method.ts"
import * as Methods from "./importance/Methods.ts"
import { type Name, names } from "./importance/names.ts"
import { options as standard } from "./importance/options.ts"
import * as Normalisation from "./Normalisation.ts"
import type * as Scores from "./Scores.ts"
import { ScoringError } from "./ScoringError.ts"
import * as Statistics from "./Statistics.ts"

/** The ways to measure. */
export const methods = names

/** One way to measure. */
export type Method = Name

/** How importance is measured. */
export interface Options {
  readonly scheme: Unit.UnitScheme
  readonly method: Method
  /** Seed of methods that draw. */
  readonly seed?: number
  /** Points of methods that integrate, ≥ 1. */
  readonly quadrature?: number
}

/** The options given, and the defaults of the others. */
export const optionsOf = ({
  quadrature = standard.quadrature.default,
  seed = standard.seed.default,
}: Pick<Options, "quadrature" | "seed">) => ({ quadrature, seed })

/** The models of a task, of one shape, opened when first asked for and closed with the scope. */
export const models = Effect.fn("Importance.models")(function* (
  base: Checkpoint.Checkpoint,
  expert: Checkpoint.Checkpoint,
  golden: ReadonlyArray<Example.Example>,
) {
  // Methods that open one model, or none, compare the two as well.
  yield* SharedShape.of(base, [expert])
  const inScope = Effect.provideContext(yield* Effect.context<Runtime | Scope.Scope>())
  const movesFrom = (from: Checkpoint.Checkpoint) =>
    Effect.cached(inScope(UnitInterventions.openMoves({ from, base, expert }, golden)))
  return {
    delta: yield* Effect.cached(inScope(InterpolatedModel.open(base, expert))),
    fromExpert: yield* movesFrom(expert),
    fromBase: yield* movesFrom(base),
    zeroed: yield* Effect.cached(inScope(UnitInterventions.openAblations(expert, golden, "zero"))),
    averaged: yield* Effect.cached(inScope(UnitInterventions.openAblations(expert, golden, "mean"))),
    fisher: yield* Effect.cached(inScope(InterpolatedFisher.open(base, expert))),
  } satisfies Models
})

/** Fails where golden data has fewer than two examples. */
export const checkGolden = (
  subject: string,
  { length }: ReadonlyArray<Example.Example>,
): Effect.Effect<void, ScoringError> =>
  length < 2
    ? Effect.fail(
        new ScoringError({
          subject,
          problem: `needs 2 golden examples or more for a standard error, got ${length}; give more questions`,
        }),
      )
    : Effect.void

/** The parts that measure a task by a method; golden data has to have two examples or more. */
export const parts = Effect.fnUntraced(function* (
  task: Task,
  opened: Models,
  method: Method,
): Effect.fn.Return<ReadonlyArray<Part>, ScoringError> {
  yield* checkGolden("importance", task.golden)
  return Methods.byName[method].parts(task, opened)
})

/** The values of a task's units from those of its parts, in their order. */
export const combine = (method: Method, measured: ReadonlyArray<Values>): Values =>
  Methods.byName[method].combine(measured)

/** What a measurement takes on so many examples. */
export const cost = (method: Method, of: Amount & { readonly examples: number }): Cost => {
  const { backward, forward, whole } = Methods.byName[method].cost(of)
  return {
    forward: forward * of.examples,
    backward: backward * of.examples,
    whole: whole * of.examples,
  }
}

/**
 * Scores from each unit's values: `score` is their mean as it is, `standardError` that of the mean (0 for methods
 * without data), `relative` the normalised importance, for which insignificant scores count as 0.
 */
export const scores = (
  { golden, units }: Pick<Task, "golden" | "units">,
  found: Values,
  { method, scheme }: Options,
): Scores.Scores => {
  const scored = units.map(({ kind }, index) => {
    const own = at(found, index)
    return { kind, score: Statistics.mean(own), standardError: Statistics.standardError(own) }
  })
  const relative = Normalisation.relative(scored)
  return {
    scheme,
    method,
    examples: golden.length,
    rows: units.map(({ id, index, kind, layer, size }, u) => ({
      unit: id,
      kind,
      layer,
      index,
      size,
      score: at(scored, u).score,
      standardError: at(scored, u).standardError,
      relative: at(relative, u),
      values: at(found, u),
    })),
  }
}

/** Measures every unit of a task: [units][examples], signed, nats. */
export const values = Effect.fn("Importance.values")(function* (
  task: Task,
  method: Method,
): Effect.fn.Return<Values, MethodError, Runtime | Scope.Scope> {
  const opened = yield* models(task.base, task.expert, task.golden)
  const work = yield* parts(task, opened, method)
  return combine(method, yield* Effect.forEach(work, ({ measure: run }) => run))
}, Effect.scoped)

/** Scores every unit of an expert on its golden data. */
export const measure = Effect.fn("Importance.measure")(function* (
  input: Pick<Task, "base" | "expert" | "golden">,
  options: Options,
) {
  const { units } = yield* Unit.partition(input.expert, options.scheme)
  const found = yield* values({ ...input, units, ...optionsOf(options) }, options.method)
  return scores({ golden: input.golden, units }, found, options)
})
