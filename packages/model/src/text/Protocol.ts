/** What the tokenizer process is asked, and what it answers. */

/** Where a tokenizer is defined: a tokenizer.json, or the text of one. */
export type Definition = { readonly path: string } | { readonly text: string }

/** `key` names an open tokenizer. */
export type Request =
  | { readonly _tag: "Open"; readonly key: number; readonly definition: Definition }
  | { readonly _tag: "Close"; readonly key: number }
  | {
      readonly _tag: "Encode"
      readonly key: number
      readonly texts: ReadonlyArray<string>
      readonly addSpecial: boolean
    }
  | {
      readonly _tag: "Decode"
      readonly key: number
      readonly rows: ReadonlyArray<ReadonlyArray<number>>
      readonly skipSpecial: boolean
    }

export type Reply =
  | { readonly _tag: "Done" }
  | { readonly _tag: "Encoded"; readonly rows: ReadonlyArray<Uint32Array> }
  | { readonly _tag: "Decoded"; readonly texts: ReadonlyArray<string> }
  | { readonly _tag: "Failed"; readonly problem: string }

/** A message with the number that its answer has. */
export interface Envelope<out Body> {
  readonly id: number
  readonly body: Body
}
