/**
 * Figures: what a value looks like on a page, as tables and pictures.
 *
 * An artifact that has figures shows them in `hila report`; the page escapes texts and leaves pictures as they are.
 */

/** A table: the first column is text, the others are figures where they look like numbers. */
export interface Table {
  readonly _tag: "Table"
  readonly title: string
  readonly head: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
  /** One or two sentences on how to read it. */
  readonly note?: string
}

/** A picture: an SVG element whose texts are drawn in `currentColor`, so that it reads on a light page and a dark one. */
export interface Picture {
  readonly _tag: "Picture"
  readonly title: string
  readonly svg: string
  readonly note?: string
}

export type Figure = Table | Picture
