/**
 * Tuning: the numbers of a merge with the best golden loss on a set kept for that.
 *
 * A trial is a virtual merge: coefficients over task vectors that are already on disk, run and forgotten, so that no
 * trial writes a checkpoint. A method with choices of its own (a density, a temperature) brings them as variants: other
 * task vectors, or another table of coefficients. Every method gets the same number of trials on the same data, or a
 * comparison of methods would compare their tuning. Finished trials are checkpointed.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { CausalModel, Checkpoint, Example, Runtime, VirtualMerge } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Coefficients from "./Coefficients.ts"
import * as Search from "./Search.ts"
import * as Trials from "./Trials.ts"

const Index = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** One way a method can be: which of the checkpoints are merged, and by which of the tables (none: all 1). */
const Variant = Schema.Struct({
  name: Schema.String,
  directions: Schema.NonEmptyArray(Index),
  table: Schema.optionalKey(Index),
})
type Variant = typeof Variant.Type

/** What a search minimises: the mean of the sets' losses, or one minus the mean or the worst of their retentions. */
const Objective = Schema.Literals(["loss", "retention", "worst"])

const TrialArtifact = Artifact.json("tuning-trial", Trials.Trial)
const Losses = Artifact.json("tuning-losses", Schema.Array(Schema.Finite))

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

type Sets = ReadonlyArray<ReadonlyArray<Example.Example>>

/** What the losses of a trial cost. */
const costOf = (
  objective: typeof Objective.Type,
  losses: ReadonlyArray<number>,
  { base, experts }: { readonly base: ReadonlyArray<number>; readonly experts: ReadonlyArray<number> },
): number => {
  if (objective === "loss") return mean(losses)
  const lost = losses.flatMap((loss, i) => {
    const [from, to] = [at(base, i), at(experts, i)]
    return from > to ? [(loss - to) / (from - to)] : []
  })
  return objective === "worst" ? Math.max(...lost) : mean(lost)
}

/** The merges of a variant that was last tried: opening one takes longer than a trial. */
const opened = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  directions: ReadonlyArray<Checkpoint.Checkpoint>,
  tables: ReadonlyArray<Coefficients.Coefficients>,
) {
  let current:
    | { readonly key: string; readonly scope: Scope.Closeable; readonly merge: VirtualMerge.VirtualMerge }
    | undefined
  const close = Effect.suspend(() =>
    current === undefined ? Effect.void : Scope.close(current.scope, Exit.void),
  )
  yield* Effect.addFinalizer(() => close)
  return Effect.fnUntraced(function* ({ directions: indices, table }: Pick<Variant, "directions" | "table">) {
    const coefficients = table === undefined ? Coefficients.even : at(tables, table)
    const key = `${indices.join()} ${coefficients.scheme}`
    if (current?.key === key) return { merge: current.merge, coefficients }
    yield* close
    current = undefined
    const scope = yield* Scope.make()
    const merge = yield* VirtualMerge.open(
      base,
      indices.map((i) => at(directions, i)),
      yield* Coefficients.grouping(base, coefficients),
    ).pipe(Effect.provideService(Scope.Scope, scope))
    current = { key, scope, merge }
    return { merge, coefficients }
  })
})

/** Losses of the models that retention lies between. */
const references = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  experts: ReadonlyArray<Checkpoint.Checkpoint>,
  sets: Sets,
) {
  const of = (checkpoint: Checkpoint.Checkpoint, own: Sets) =>
    Effect.scoped(
      Effect.flatMap(CausalModel.open(checkpoint), (model) =>
        Effect.forEach(own, (set) => Effect.map(model.losses(set), mean)),
      ),
    )
  return {
    base: yield* Stage.part("base", Losses, of(base, sets)),
    experts: (yield* Stage.forEach(experts, (expert, i) => of(expert, sets.slice(i, i + 1)), {
      part: (_, i) => `expert-${i}`,
      output: Losses,
    })).flat(),
  }
})

/**
 * The best numbers of a merge. `directions` are all checkpoints that some variant moves towards; `experts` gave the
 * golden sets, in their order, and are needed for retention alone.
 */
export const tune = Stage.make({
  name: "tune",
  version: 2,
  inputs: {
    base: Checkpoint.artifact,
    directions: Stage.each(Checkpoint.artifact),
    tables: Stage.each(Coefficients.artifact),
    experts: Stage.each(Checkpoint.artifact),
    golden: Stage.each(Example.artifact),
  },
  params: {
    variants: Schema.NonEmptyArray(Variant),
    domains: Search.Domains,
    search: Search.Method,
    objective: Objective,
  },
  output: Trials.artifact,
  environment: [Runtime],
  run: Effect.fnUntraced(function* (inputs, { domains, objective, search: method, variants }) {
    const { base, directions, experts, golden, tables } = inputs
    const open = yield* opened(base, directions, tables)
    const known = objective === "loss" ? { base: [], experts: [] } : yield* references(base, experts, golden)
    const trial = Effect.fnUntraced(function* (setting: Search.Setting) {
      const variant = variants[Math.floor(setting["variant"] ?? 0)] ?? variants[0]
      const { coefficients, merge } = yield* open(variant)
      const lambdas = Coefficients.lambdas(coefficients, merge.groups, variant.directions.length, setting)
      const losses = yield* Effect.forEach(golden, (set) => Effect.map(merge.losses(set, lambdas), mean))
      const { variant: _, ...numbers } = setting
      return {
        variant: variant.name,
        setting: numbers,
        losses,
        cost: costOf(objective, losses, known),
      }
    })
    const search = Search.make({ variant: [...variants.keys()] as never, ...domains }, method)
    const done: Array<Trials.Trial> = []
    let round = search.first
    while (round.length > 0) {
      const results = yield* Stage.forEach(round, trial, {
        part: (_, i) => `trial-${done.length + i}`,
        output: TrialArtifact,
      })
      done.push(...results)
      round = search.next(results.map(({ cost }) => cost))
    }
    return Trials.of(objective, done)
  }, Effect.scoped),
})

/** What a search chose: the numbers, and the variant they go with. */
export const choice = Stage.make({
  name: "choice",
  version: 1,
  inputs: { tuning: Trials.artifact },
  params: { variants: Schema.NonEmptyArray(Variant) },
  output: Trials.choiceArtifact,
  run: ({ tuning: { best } }, { variants }) => {
    const { directions, name, table } = variants.find((each) => each.name === best.variant) ?? variants[0]
    return Effect.succeed({
      variant: name,
      directions,
      ...(table === undefined ? {} : { table }),
      setting: best.setting,
    })
  },
})
