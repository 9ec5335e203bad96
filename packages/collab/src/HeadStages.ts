/**
 * Heads as pipeline stages: trained over features, every part of the training kept as it is finished.
 */
import { Stage } from "@hila/core"
import { known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { CollabError } from "./CollabError.ts"
import * as Features from "./Features.ts"
import * as Head from "./heads/Head.ts"
import * as HeadData from "./heads/HeadData.ts"
import * as HeadProgram from "./heads/HeadProgram.ts"
import { type HeadSpec, readsLogits, Strategy } from "./heads/HeadSpec.ts"
import * as HeadTraining from "./heads/HeadTraining.ts"
import * as LabelledText from "./LabelledText.ts"
import * as Metrics from "./Metrics.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** Tables of features, labels and all that goes with them, in memory. */
export const load = Effect.fnUntraced(function* (
  files: ReadonlyArray<{ readonly path: string }>,
  queryFile: { readonly path: string },
  texts: LabelledText.Divided,
) {
  const tables = yield* Effect.forEach(files, Features.read)
  const queries = yield* Features.read(queryFile)
  const labels = (set: Features.Set) => texts[set].map(({ label }) => label)
  const of = (set: Features.Set) => HeadData.of(tables, queries, set, labels(set))
  for (const { info, rows } of tables) {
    const found = rows.heads.count
    if (found !== texts.heads.length || (info.classes !== 0 && info.classes !== texts.classes.length)) {
      return yield* new CollabError({
        subject: `features of ${info.name}`,
        problem: `expected ${texts.heads.length} rows and ${texts.classes.length} classes, got ${found} and ${info.classes}`,
      })
    }
  }
  return { tables, queries, heads: of("heads"), validation: of("validation"), test: of("test") }
})

/** Fails where an expert has no class logits, which `reader` reads. */
export const requireLogits = (
  { tables }: Pick<Effect.Success<ReturnType<typeof load>>, "tables">,
  reader: string,
  advice = "give it a probe",
) => {
  const silent = tables.find(({ info }) => info.classes === 0)
  return silent === undefined
    ? Effect.void
    : Effect.fail(
        new CollabError({
          subject: reader,
          problem: `reads class logits, and expert ${silent.info.name} has none; ${advice}`,
        }),
      )
}

/** What a head needs to know of its experts, with temperatures chosen on the validation rows. */
const specOf = (
  { queries, tables, validation }: Effect.Success<ReturnType<typeof load>>,
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
 * rows. The probe belongs to the table; a bundle has none, so pack such an expert with a fusion of features.
 */
export const probe = Stage.make({
  name: "probe",
  version: 1,
  inputs: { features: Features.artifact, texts: LabelledText.divided },
  params: { l2: Schema.Array(Schema.Finite), ...HeadTraining.Options.fields },
  output: Features.artifact,
  run: Effect.fn(function* ({ features, texts }, { l2, ...options }) {
    const table = yield* Features.read(features)
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
    const path = join(yield* Stage.scratch, "probed.safetensors")
    return yield* Features.withLogits(path, table, classes, {
      heads: yield* logits("heads"),
      validation: yield* logits("validation"),
      test: yield* logits("test"),
    })
  }, Effect.scoped),
})

/** What a head and its training are told. */
export const headParams = {
  strategy: Strategy,
  width: Count,
  hidden: Count,
  heads: Count,
  rank: Count,
  groups: Schema.Array(Schema.Array(Schema.Int)),
  l2: Schema.Array(Schema.Finite),
  ...HeadTraining.Options.fields,
}
const HeadParams = Schema.Struct(headParams)
export type HeadParams = typeof HeadParams.Type

/**
 * A gate and fusion over experts: stages S2 to S4, each through `kept`, which may have it from an earlier run. Regressions
 * are trained once for each penalty of `l2`, and the best on the validation rows is kept. Succeeds with the head and
 * with what the validation rows say of it.
 */
export const fit = Effect.fnUntraced(function* <E, R>(
  data: Effect.Success<ReturnType<typeof load>>,
  classes: number,
  params: HeadParams,
  kept: (
    part: string,
    make: ReturnType<Effect.Success<ReturnType<typeof HeadTraining.open>>["phase"]>,
  ) => Effect.Effect<Head.Head, E, R>,
) {
  const { groups, heads, hidden, l2, rank, strategy, width, ...options } = params
  if (readsLogits(strategy)) {
    yield* requireLogits(data, `strategy ${strategy}`, "give it a probe, or use a fusion of features")
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

/**
 * A gate and fusion over experts: stages S2 to S4, each kept when it is finished. Regressions are trained once for each
 * penalty of `l2`, and the best on the validation rows is kept.
 */
export const trainHead = Stage.make({
  name: "train-head",
  version: 2,
  inputs: {
    features: Stage.each(Features.artifact),
    queries: Features.artifact,
    texts: LabelledText.divided,
  },
  params: headParams,
  output: Head.artifact,
  run: Effect.fn(function* ({ features, queries, texts }, params) {
    const data = yield* load(features, queries, texts)
    const scratch = yield* Stage.scratch
    const kept = <E, R>(part: string, make: Effect.Effect<Head.Head, E, R>) =>
      Effect.flatMap(
        Stage.part(
          part,
          Head.artifact,
          Effect.flatMap(make, (head) => Head.write(join(scratch, `${part}.safetensors`), head)),
        ),
        Head.read,
      )
    const { head } = yield* fit(data, texts.classes.length, params, kept)
    return yield* Head.write(join(scratch, "head.safetensors"), head)
  }, Effect.scoped),
})
