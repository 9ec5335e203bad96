/**
 * Fitting heads: from tables of features to a gate and a fusion (stages S2 to S4), or to a probe of one expert (S1).
 */
import { known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Features from "../Features.ts"
import type * as LabelledText from "../LabelledText.ts"
import * as Metrics from "../Metrics.ts"
import * as Head from "./Head.ts"
import type * as HeadData from "./HeadData.ts"
import * as HeadProgram from "./HeadProgram.ts"
import { type HeadSpec, readsLogits, Strategy } from "./HeadSpec.ts"
import * as HeadTables from "./HeadTables.ts"
import * as HeadTraining from "./HeadTraining.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** What a head and its training are told. */
export const params = {
  strategy: Strategy,
  width: Count,
  hidden: Count,
  heads: Count,
  rank: Count,
  groups: Schema.Array(Schema.Array(Schema.Int)),
  l2: Schema.Array(Schema.Finite),
  ...HeadTraining.Options.fields,
}
const Params = Schema.Struct(params)
export type Params = typeof Params.Type

/** What a head needs to know of its experts, with temperatures chosen on the validation rows. */
const specOf = (
  { queries, tables, validation }: HeadTables.HeadTables,
  classes: number,
  sizes: Pick<HeadSpec, "strategy" | "width" | "hidden" | "heads" | "rank" | "groups">,
): HeadSpec => ({
  ...sizes,
  classes,
  query: queries.info.width,
  experts: tables.map(({ info: { name, width } }) => ({ name, width })),
  temperatures: validation.logits.map((logits) =>
    logits.length === 0 ? 1 : Metrics.temperature(logits, validation.labels, classes),
  ),
})

/** One regression per penalty, and of them the best on the validation rows. */
const regress = Effect.fnUntraced(function* <E, R>(
  { judge, phase }: Effect.Success<ReturnType<typeof HeadTraining.open>>,
  start: Head.Head,
  l2: ReadonlyArray<number>,
  kept: (part: string, make: ReturnType<typeof phase>) => Effect.Effect<Head.Head, E, R>,
  options: HeadTraining.Options,
) {
  let best: { readonly head: Head.Head; readonly macroF1: number } | undefined
  const [only] = HeadTraining.phases(start.spec, options)
  for (const [i, penalty] of l2.entries()) {
    const head = yield* kept(`l2-${i}`, phase(start, known(only), penalty))
    const { macroF1 } = yield* judge(head)
    if (best === undefined || macroF1 > best.macroF1) best = { head, macroF1 }
  }
  return best?.head ?? start
})

/**
 * Class logits for an expert that has none of its own: a linear probe of its features (stage S1), trained on the heads'
 * rows. The logits of every row, set by set.
 */
export const probe = Effect.fnUntraced(function* (
  table: Features.Table,
  texts: LabelledText.Divided,
  l2: ReadonlyArray<number>,
  options: HeadTraining.Options,
) {
  const { name, width } = table.info
  const of = (set: Features.Set): HeadData.HeadData => ({
    count: texts[set].length,
    features: [table.rows[set].features],
    logits: [new Float32Array(0)],
    queries: new Float32Array(0),
    labels: Int32Array.from(texts[set], ({ label }) => label),
  })
  const none = { query: 1, width: 1, hidden: 1, heads: 1, rank: 1, groups: [], temperatures: [1] }
  const classes = texts.classes.length
  const spec: HeadSpec = { ...none, strategy: "regression", experts: [{ name, width }], classes }
  const trainer = yield* HeadTraining.open(spec, of("heads"), of("validation"), options)
  const start: Head.Head = { spec, parameters: Head.initial(spec, options.seed), curve: [] }
  const head = yield* regress(trainer, start, l2, (_, make) => make, options)
  const run = yield* HeadProgram.openFed(spec)
  const logits = (set: Features.Set) =>
    Effect.map(run(head.parameters, of(set)), ({ logProbabilities }) => logProbabilities)
  return {
    heads: yield* logits("heads"),
    validation: yield* logits("validation"),
    test: yield* logits("test"),
  }
})

/**
 * A gate and fusion over experts: stages S2 to S4, each through `kept`, which may have it from an earlier run. Regressions
 * are trained once for each penalty of `l2`, and the best on the validation rows is kept. Succeeds with the head and
 * with what the validation rows say of it.
 */
export const fit = Effect.fnUntraced(function* <E, R>(
  data: HeadTables.HeadTables,
  classes: number,
  params: Params,
  kept: (
    part: string,
    make: ReturnType<Effect.Success<ReturnType<typeof HeadTraining.open>>["phase"]>,
  ) => Effect.Effect<Head.Head, E, R>,
) {
  const { groups, heads, hidden, l2, rank, strategy, width, ...options } = params
  if (readsLogits(strategy)) {
    yield* HeadTables.requireLogits(
      data,
      `strategy ${strategy}`,
      "give it a probe, or use a fusion of features",
    )
  }
  const spec = specOf(data, classes, { strategy, width, hidden, heads, rank, groups })
  const trainer = yield* HeadTraining.open(spec, data.heads, data.validation, options)
  let head: Head.Head = { spec, parameters: Head.initial(spec, options.seed), curve: [] }
  if (strategy === "regression" || strategy === "stacking") {
    head = yield* regress(trainer, head, l2, kept, options)
  } else {
    for (const phase of HeadTraining.phases(spec, options)) {
      head = yield* kept(phase.name, trainer.phase(head, phase))
    }
  }
  return { head, validation: yield* trainer.judge(head) }
})
