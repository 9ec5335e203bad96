/**
 * Figures: what a value looks like on a page, as tables and pictures.
 *
 * An artifact that has figures shows them in `hila report`; the page escapes texts and leaves pictures as they are.
 */
import * as Schema from "effect/Schema"

/** A table: the first column is text, the others are figures where they look like numbers. */
const Table = Schema.TaggedStruct("Table", {
  title: Schema.String,
  head: Schema.Array(Schema.String),
  rows: Schema.Array(Schema.Array(Schema.String)),
  /** One or two sentences on how to read it. */
  note: Schema.optionalKey(Schema.String),
})

/** A picture: an SVG element whose texts are drawn in `currentColor`, so that it reads on a light page and a dark one. */
const Picture = Schema.TaggedStruct("Picture", {
  title: Schema.String,
  svg: Schema.String,
  note: Schema.optionalKey(Schema.String),
})

export const Figure = Schema.Union([Table, Picture])
export type Figure = typeof Figure.Type
