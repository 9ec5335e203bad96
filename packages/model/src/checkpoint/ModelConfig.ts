/**
 * A checkpoint's config.json: the keys Hila reads for every model, and all others untouched.
 *
 * What only one family of models has is read by that family's architecture record, not here.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as JsonText from "./JsonText.ts"
import { CheckpointError } from "../ModelError.ts"

/** Optional keys of a config.json are absent or null, depending on the writer's generation. */
export const optional = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** A config.json; `dtype` (newer) and `torch_dtype` (older) name the stored type. */
export const ModelConfig = Schema.StructWithRest(
  Schema.Struct({
    model_type: Schema.String,
    architectures: optional(Schema.Array(Schema.String)),
    dtype: optional(Schema.String),
    torch_dtype: optional(Schema.String),
  }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)
export type ModelConfig = typeof ModelConfig.Type

const decode = Schema.decodeUnknownEffect(JsonText.fromText(ModelConfig))

/** Reads the text of a config.json; `path` is named in the error. */
export const parse = (text: string, path: string): Effect.Effect<ModelConfig, CheckpointError> =>
  Effect.mapError(
    decode(text),
    (error) => new CheckpointError({ path, problem: oneLine(error.message), blame: "input" }),
  )

/** A schema's report of several lines as one; of what is no JSON, what that may come from. */
export const oneLine = (message: string): string =>
  message
    .replaceAll(/\s*\n\s*/g, " ")
    .trim()
    .replace(/^no JSON: (.*)$/, "it is no JSON ($1): it may be cut off, or a page of errors; get it again")
