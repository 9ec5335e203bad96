/** The tokenizer.json of a union: the first one's text with what is new in it, and every other byte kept. */
import { JsonText } from "@hila/model"
import type { Entry } from "./Placement.ts"
import type { Added, Merge, TokenizerFile } from "./TokenizerFile.ts"

/** What a union has besides its first tokenizer. */
export interface News {
  readonly added: ReadonlyArray<Added>
  readonly vocabulary: ReadonlyArray<Entry>
  readonly merges: ReadonlyArray<Merge>
  /** The tokenizers that the news are of: where the first has no merges, theirs say how merges are written. */
  readonly others: ReadonlyArray<TokenizerFile>
}

/** The text of the union. */
export const write = (file: TokenizerFile, { added, merges, others, vocabulary }: News): string => {
  let { text } = file
  if (added.length > 0) {
    text =
      file.added.size > 0
        ? JsonText.append(text, ["added_tokens"], added)
        : JsonText.set(text, ["added_tokens"], added)
  }
  if (vocabulary.length > 0) {
    const at = ["model", "vocab"]
    text =
      file.scores === undefined
        ? JsonText.extend(
            text,
            at,
            vocabulary.map(({ id, token }) => [token, id]),
          )
        : JsonText.append(
            text,
            at,
            vocabulary.map(({ score, token }) => [token, score]),
          )
  }
  if (merges.length === 0) return text
  // One form for all: the library reads no list of both. A token with a space in it can only stand in a pair.
  const spaced = merges.some((merge) => merge.some((token) => token.includes(" ")))
  const own = file.mergesForm ?? others.find(({ mergesForm }) => mergesForm !== undefined)?.mergesForm
  const form = spaced ? "pairs" : own
  const written = (merge: Merge) => (form === "pairs" ? merge : merge.join(" "))
  const at = ["model", "merges"]
  return file.mergesForm === form
    ? JsonText.append(text, at, merges.map(written))
    : JsonText.set(text, at, [...file.merges, ...merges].map(written))
}
