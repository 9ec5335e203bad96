/**
 * Text to tokens and back, by the checkpoint's own tokenizer.json.
 *
 * The tokenizer's post-processor decides which special tokens `encode` adds. Nothing is cut, padded or cleaned up.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import type { Checkpoint } from "./Checkpoint.ts"
import { ModelError } from "./ModelError.ts"

export interface Tokenizer {
  /** The tokens of a text, special tokens included unless told otherwise. */
  readonly encode: (text: string, options?: { readonly addSpecial?: boolean }) => ReadonlyArray<number>
  /** The text of tokens; bytes that are no whole character become U+FFFD. `skipSpecial` leaves out special tokens. */
  readonly decode: (tokens: ReadonlyArray<number>, options?: { readonly skipSpecial?: boolean }) => string
}

const Json = Schema.fromJsonString(Schema.Record(Schema.String, Schema.Unknown))

const readJson = (path: string) =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => new ModelError({ model: path, problem: String(cause), blame: "system" }),
  }).pipe(
    Effect.flatMap((text) =>
      Effect.mapError(
        Schema.decodeUnknownEffect(Json)(text),
        () => new ModelError({ model: path, problem: "expected a JSON object", blame: "input" }),
      ),
    ),
  )

/** Opens the tokenizer of a checkpoint; fails when it has no tokenizer.json or one that cannot be used. */
export const open = Effect.fnUntraced(function* (
  checkpoint: Pick<Checkpoint, "files">,
): Effect.fn.Return<Tokenizer, ModelError> {
  const path = checkpoint.files["tokenizer.json"]
  if (path === undefined) {
    const model = checkpoint.files["config.json"] ?? "checkpoint"
    return yield* new ModelError({ model, problem: "there is no tokenizer.json beside it", blame: "input" })
  }
  const definition = yield* readJson(path)
  const library = yield* Effect.promise(() => import("@huggingface/tokenizers"))
  // Of tokenizer_config.json the library reads the clean-up of spaces and the lower-casing of old tokenizers, which
  // tokenizer.json already states in its decoder and normalizer.
  const tokenizer = yield* Effect.try({
    try: () => new library.Tokenizer(definition, { clean_up_tokenization_spaces: false }),
    catch: (cause) =>
      new ModelError({ model: path, problem: `unusable tokenizer: ${String(cause)}`, blame: "input" }),
  })
  return {
    encode: (text, { addSpecial = true } = {}) =>
      tokenizer.encode(text, { add_special_tokens: addSpecial }).ids,
    decode: (tokens, { skipSpecial = false } = {}) =>
      tokens.length === 0 ? "" : tokenizer.decode([...tokens], { skip_special_tokens: skipSpecial }),
  }
})
