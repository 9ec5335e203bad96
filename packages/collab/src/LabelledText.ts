/**
 * Texts with their classes, as an artifact, and how they are divided.
 */
import { Artifact } from "@hila/core"
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CollabError } from "./CollabError.ts"
import * as Random from "./Random.ts"

const Row = Schema.Struct({ text: Schema.String, label: Schema.Int })
export type Row = typeof Row.Type

/** Rows for training and for testing; labels index `classes`. */
export const Texts = Schema.Struct({
  classes: Schema.Array(Schema.String),
  train: Schema.Array(Row),
  test: Schema.Array(Row),
})
export type Texts = typeof Texts.Type

export const artifact: Artifact.Artifact<Texts> = Artifact.json("labelled-texts", Texts, {
  summary: ({ classes, test, train }) =>
    `${train.length} rows to train, ${test.length} to test, ${classes.length} classes`,
})

/** Shares of the training rows: experts learn from `experts`, heads from `heads`, choices are made on `validation`. */
export interface Shares {
  readonly heads: number
  readonly validation: number
}

/** The rows by what they are used for; experts never see those of the others. */
export const Divided = Schema.Struct({
  classes: Schema.Array(Schema.String),
  experts: Schema.Array(Row),
  heads: Schema.Array(Row),
  validation: Schema.Array(Row),
  test: Schema.Array(Row),
})
export type Divided = typeof Divided.Type

/** Divided texts as an artifact. */
export const divided: Artifact.Artifact<Divided> = Artifact.json("divided-texts", Divided, {
  summary: ({ experts, heads, test, validation }) =>
    `${experts.length} rows for experts, ${heads.length} for heads, ${validation.length} to choose, ${test.length} to test`,
})

/** Divides the training rows at random, the same way for the same seed. */
export const divide = Effect.fnUntraced(function* (
  { classes, test, train }: Texts,
  { heads, validation }: Shares,
  seed: number,
): Effect.fn.Return<Divided, CollabError> {
  const shuffled = Random.make(Random.seedOf(seed, "division"))
    .order(train.length)
    .map((i) => at(train, i))
  const [v, h] = [Math.round(validation * train.length), Math.round(heads * train.length)]
  if (v < 1 || h < 1 || v + h >= shuffled.length) {
    return yield* new CollabError({
      subject: "division",
      problem: `${heads} for heads and ${validation} for validation of ${train.length} rows leave a set empty`,
    })
  }
  return {
    classes,
    validation: shuffled.slice(0, v),
    heads: shuffled.slice(v, v + h),
    experts: shuffled.slice(v + h),
    test,
  }
})

/** Part `index` of `of` disjoint parts, as equal as can be. */
export const part = (
  rows: ReadonlyArray<Row>,
  { index, of }: { readonly index: number; readonly of: number },
): ReadonlyArray<Row> => rows.filter((_, i) => i % of === index)
