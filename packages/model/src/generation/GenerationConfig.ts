/**
 * What of a checkpoint's generation_config.json is read: the tokens that end a response.
 *
 * How tokens are drawn is asked for by whoever generates, not by this file.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import { readText } from "../internal/readText.ts"
import * as JsonText from "../checkpoint/JsonText.ts"
import { optional } from "../checkpoint/ModelConfig.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"

const GenerationConfig = JsonText.fromText(
  Schema.Struct({
    eos_token_id: optional(Schema.Union([Schema.Int, Schema.Array(Schema.Int)])),
  }),
)

/** End-of-sequence tokens: those of generation_config.json where it names any, else those of config.json. */
export const eosTokenIds = Effect.fnUntraced(function* (
  { files }: Pick<Checkpoint, "files">,
  shape: Pick<ModelShape, "eosTokenIds">,
): Effect.fn.Return<ReadonlyArray<number>, ModelError> {
  const path = files["generation_config.json"]
  if (path === undefined) return shape.eosTokenIds
  const text = yield* readText(path)
  const { eos_token_id: eos } = yield* Effect.mapError(
    Schema.decodeUnknownEffect(GenerationConfig)(text),
    () =>
      new ModelError({
        model: path,
        problem: "expected JSON with eos_token_id as one or more integers",
        blame: "input",
      }),
  )
  return eos === undefined || eos === null ? shape.eosTokenIds : typeof eos === "number" ? [eos] : eos
})
