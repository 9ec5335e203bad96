/**
 * What heads are trained and judged on: the features of experts, what the gate is asked with, and the labels of the texts.
 */
import * as Effect from "effect/Effect"
import { CollabError } from "../CollabError.ts"
import * as Features from "../Features.ts"
import type * as LabelledText from "../LabelledText.ts"
import * as HeadData from "./HeadData.ts"

/** Tables of features, labels and all that goes with them, in memory; fails where they are of other texts. */
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

export type HeadTables = Effect.Success<ReturnType<typeof load>>

/** Fails where an expert has no class logits, which `reader` reads. */
export const requireLogits = (
  { tables }: Pick<HeadTables, "tables">,
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
