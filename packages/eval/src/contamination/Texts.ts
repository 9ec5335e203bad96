/**
 * Texts a model may have seen, from files: a plain text as one text, rows of jsonl, json, csv or parquet as one each.
 *
 * All strings of a row count, in their order, so that an example's response follows its prompt, as in training.
 */
import * as Effect from "effect/Effect"
import * as Rows from "../tasks/Rows.ts"

const strings = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  if (typeof value !== "object" || value === null) return []
  return Object.values(value).flatMap(strings)
}

/** The texts of one row's strings, however deep they lie. */
export const ofRow = (row: unknown): string => strings(row).join("\n")

/** The texts of a file; `name` is what it is called, where it lies under another name. */
export const read = (path: string, name: string = path) =>
  Effect.map(Rows.read(path, { name }), (rows) =>
    /\.txt(\.gz)?$/.test(name) ? [rows.map(ofRow).join("\n")] : rows.map(ofRow),
  )
