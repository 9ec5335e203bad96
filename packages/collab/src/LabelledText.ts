/**
 * Texts with their classes, as an artifact, and how they are divided.
 */
import { Artifact } from "@hila/core"
import * as Schema from "effect/Schema"
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
export interface Divided {
  readonly experts: ReadonlyArray<Row>
  readonly heads: ReadonlyArray<Row>
  readonly validation: ReadonlyArray<Row>
  readonly test: ReadonlyArray<Row>
}

/** Divides the training rows at random, the same way for the same seed. */
export const divide = ({ test, train }: Texts, { heads, validation }: Shares, seed: number): Divided => {
  const shuffled = Random.make(Random.seedOf(seed, "division"))
    .order(train.length)
    .flatMap((i) => train[i] ?? [])
  const [v, h] = [Math.round(validation * train.length), Math.round(heads * train.length)]
  return {
    validation: shuffled.slice(0, v),
    heads: shuffled.slice(v, v + h),
    experts: shuffled.slice(v + h),
    test,
  }
}

/** Part `index` of `of` disjoint parts, as equal as can be. */
export const part = (
  rows: ReadonlyArray<Row>,
  { index, of }: { readonly index: number; readonly of: number },
): ReadonlyArray<Row> => rows.filter((_, i) => i % of === index)
