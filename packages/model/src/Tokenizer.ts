/**
 * Text to tokens and back, by the checkpoint's own tokenizer.json, or by its vocab.json, merges.txt and the class that
 * its tokenizer_config.json names.
 *
 * The tokenizer's post-processor decides which special tokens `encode` adds. Nothing is cut, padded or cleaned up.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Checkpoint } from "./Checkpoint.ts"
import { readText } from "./internal/readText.ts"
import * as JsonText from "./JsonText.ts"
import { ModelError } from "./ModelError.ts"
import * as ByteLevel from "./tokenizers/ByteLevel.ts"

export interface Tokenizer {
  /** The tokens of a text, special tokens included unless told otherwise. */
  readonly encode: (text: string, options?: { readonly addSpecial?: boolean }) => ReadonlyArray<number>
  /** The text of tokens; bytes that are no whole character become U+FFFD. `skipSpecial` leaves out special tokens. */
  readonly decode: (tokens: ReadonlyArray<number>, options?: { readonly skipSpecial?: boolean }) => string
}

/** The JSON of a file, by its schema; `expected` says what it should have been. */
const readJson = <S extends Schema.Constraint & { readonly DecodingServices: never }>(
  path: string,
  schema: S,
  expected: string,
) =>
  Effect.flatMap(readText(path), (text) =>
    Effect.mapError(
      Schema.decodeUnknownEffect(JsonText.fromText(schema))(text),
      () => new ModelError({ model: path, problem: `expected ${expected}`, blame: "input" }),
    ),
  )

const Definition = Schema.Record(Schema.String, Schema.Unknown)
const Vocabulary = Schema.Record(Schema.String, Schema.Int)

const input = (model: string, problem: string) => new ModelError({ model, problem, blame: "input" })

/** The tokenizer.json that vocab.json and merges.txt stand for. */
const fromVocabulary = Effect.fnUntraced(function* (
  files: Checkpoint["files"],
  vocabulary: string,
  merges: string,
): Effect.fn.Return<{ readonly path: string; readonly definition: Record<string, unknown> }, ModelError> {
  const path = files["tokenizer_config.json"]
  if (path === undefined) {
    return yield* input(
      vocabulary,
      "there is no tokenizer_config.json beside it that names the tokenizer's class",
    )
  }
  const config = yield* readJson(path, ByteLevel.Config, "the keys of a tokenizer_config.json")
  const addedPath = files["added_tokens.json"]
  const definition = ByteLevel.definition({
    config,
    vocabulary: yield* readJson(vocabulary, Vocabulary, "a JSON object of tokens and ids"),
    merges: yield* readText(merges),
    added:
      addedPath === undefined
        ? {}
        : yield* readJson(addedPath, Vocabulary, "a JSON object of tokens and ids"),
  })
  return definition === undefined
    ? yield* input(
        path,
        `tokenizer_class ${JSON.stringify(config.tokenizer_class ?? null)} is not known to read vocab.json and ` +
          `merges.txt; known: ${ByteLevel.known.join(", ")}. To add one, say in ` +
          "packages/model/src/tokenizers/ByteLevel.ts how it splits text, or save a tokenizer.json",
      )
    : { path: vocabulary, definition }
})

const definitionOf = Effect.fnUntraced(function* (files: Checkpoint["files"]) {
  const { "merges.txt": merges, "tokenizer.json": path, "vocab.json": vocabulary } = files
  if (path !== undefined) return { path, definition: yield* readJson(path, Definition, "a JSON object") }
  if (vocabulary !== undefined && merges !== undefined)
    return yield* fromVocabulary(files, vocabulary, merges)
  return yield* input(
    files["config.json"] ?? "checkpoint",
    "there is no tokenizer.json beside it, nor vocab.json with merges.txt",
  )
})

/** Opens the tokenizer of a checkpoint; fails when it has none, or one that cannot be used. */
export const open = Effect.fnUntraced(function* (
  checkpoint: Pick<Checkpoint, "files">,
): Effect.fn.Return<Tokenizer, ModelError> {
  const { definition, path } = yield* definitionOf(checkpoint.files)
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
