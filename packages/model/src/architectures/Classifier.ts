/**
 * What encoders that classify sequences have in common: their classes, and how BERT and its descendants are laid out.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"
import { Index, missing, Positive, type Problem } from "./Config.ts"

/** Keys of a model that classifies. */
export const classifierKeys = {
  model_type: Schema.String,
  vocab_size: Positive,
  architectures: optional(Schema.Array(Schema.String)),
  id2label: optional(Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Finite]))),
  num_labels: optional(Positive),
  pad_token_id: optional(Index),
}

const Keys = Schema.Struct(classifierKeys)

/** The names of the classes; fails for a model with another head. */
export const labels = ({
  architectures,
  id2label,
  num_labels: count,
}: typeof Keys.Type): Effect.Effect<ReadonlyArray<string>, Problem> => {
  const [head = ""] = architectures ?? []
  if (!head.endsWith("ForSequenceClassification")) {
    return Effect.fail(missing(`the head of '${head}'`, "…ForSequenceClassification"))
  }
  const names = Object.entries(id2label ?? {}).toSorted(([a], [b]) => Number(a) - Number(b))
  return Effect.succeed(
    names.length > 0
      ? names.map(([, name]) => String(name))
      : Array.from({ length: count ?? 2 }, (_, i) => `LABEL_${i}`),
  )
}
