/**
 * Actions: the record of one finished stage, written after its content.
 *
 * A record without its content, or with content of another size, counts as missing, never as a result.
 */
import * as Schema from "effect/Schema"
import { Ingredients } from "./Ingredients.ts"
import { Digest } from "./internal/names.ts"

/** A stage call that finished: key, ingredients, content, and what it cost. */
export const Action = Schema.Struct({
  key: Digest,
  ingredients: Ingredients,
  kind: Schema.Literals(["file", "directory"]),
  digest: Digest,
  size: Schema.Int,
  /** One line about the value. */
  summary: Schema.String,
  label: Schema.optionalKey(Schema.String),
  /** ISO 8601, UTC. */
  started: Schema.String,
  seconds: Schema.Finite,
  /** Numbers worth comparing between runs, by name. */
  metrics: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite)),
  /** Numbers about the execution rather than the value, such as times, by name; see `Stage.measure`. */
  measured: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite)),
  /** Digest of what the value looked like when it was made; see `Look`. */
  look: Schema.optionalKey(Digest),
  /** Digest of the list of modules that made it; see `SourceCode`. */
  source: Schema.optionalKey(Digest),
})
export type Action = typeof Action.Type

/** One finished element of an unfinished stage. */
export const Part = Schema.Struct({
  id: Schema.String,
  kind: Schema.Literals(["file", "directory"]),
  digest: Digest,
})
export type Part = typeof Part.Type
