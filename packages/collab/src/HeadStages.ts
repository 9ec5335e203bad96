/**
 * Heads as pipeline stages: trained over features, every part of the training kept as it is finished.
 */
import { Stage } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { CollabError } from "./CollabError.ts"
import * as Features from "./Features.ts"
import * as Head from "./heads/Head.ts"
import * as HeadData from "./heads/HeadData.ts"
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
  params: {
    strategy: Strategy,
    width: Count,
    hidden: Count,
    heads: Count,
    rank: Count,
    groups: Schema.Array(Schema.Array(Schema.Int)),
    l2: Schema.Array(Schema.Finite),
    ...HeadTraining.Options.fields,
  },
  output: Head.artifact,
  run: Effect.fn(function* ({ features, queries, texts }, params) {
    const { groups, heads, hidden, l2, rank, strategy, width, ...options } = params
    const data = yield* load(features, queries, texts)
    if (readsLogits(strategy) && data.heads.logits.some((logits) => logits.length === 0)) {
      return yield* new CollabError({
        subject: `strategy ${strategy}`,
        problem: "it reads class logits, and an expert has none; use a fusion of features",
      })
    }
    const spec = specOf(data, texts.classes.length, { strategy, width, hidden, heads, rank, groups })
    const trainer = yield* HeadTraining.open(spec, data.heads, data.validation, options)
    const scratch = yield* Stage.scratch
    const start: Head.Head = { spec, parameters: Head.initial(spec, options.seed), curve: [] }
    const kept = <E, R>(part: string, make: Effect.Effect<Head.Head, E, R>) =>
      Effect.flatMap(
        Stage.part(
          part,
          Head.artifact,
          Effect.flatMap(make, (head) => Head.write(join(scratch, `${part}.safetensors`), head)),
        ),
        Head.read,
      )
    const phases = HeadTraining.phases(spec, options)
    const isRegression = strategy === "regression" || strategy === "stacking"
    if (!isRegression) {
      let head = start
      for (const phase of phases) head = yield* kept(phase.name, trainer.phase(head, phase))
      return yield* Head.write(join(scratch, "head.safetensors"), head)
    }
    let best: { readonly head: Head.Head; readonly macroF1: number } | undefined
    for (const [i, penalty] of l2.entries()) {
      const head = yield* kept(`l2-${i}`, trainer.phase(start, phases[0]!, penalty))
      const { macroF1 } = yield* trainer.judge(head)
      if (best === undefined || macroF1 > best.macroF1) best = { head, macroF1 }
    }
    return yield* Head.write(join(scratch, "head.safetensors"), best?.head ?? start)
  }, Effect.scoped),
})
