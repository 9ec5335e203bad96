/**
 * Text to tokens and back, by the checkpoint's own tokenizer.json, or by its vocab.json, merges.txt and the class that
 * its tokenizer_config.json names.
 *
 * The tokenizer's post-processor decides which special tokens `encode` adds. Nothing is cut, padded or cleaned up. What
 * computes is the Rust library that these files are written by and for, in a process of its own (`tokenizers/Process`).
 */
import { at, entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import { readText } from "../internal/readText.ts"
import * as JsonText from "../checkpoint/JsonText.ts"
import { ModelError } from "../ModelError.ts"
import * as ByteLevel from "./ByteLevel.ts"
import * as Client from "./Client.ts"
import type { Definition } from "./Protocol.ts"

/** Whether the post-processor's special tokens are added; they are unless told otherwise. */
export interface EncodeOptions {
  readonly addSpecial?: boolean
}

/** Whether special tokens are left out of the text; they are not unless told otherwise. */
export interface DecodeOptions {
  readonly skipSpecial?: boolean
}

/** An open tokenizer. Several texts at once cost one question to its process, and are worked on by several threads. */
export interface Tokenizer {
  /** The tokens of a text, special tokens included unless told otherwise. */
  readonly encode: (text: string, options?: EncodeOptions) => Effect.Effect<ReadonlyArray<number>, ModelError>
  /** The tokens of each text, in their order. */
  readonly encodeAll: (
    texts: ReadonlyArray<string>,
    options?: EncodeOptions,
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, ModelError>
  /** The text of tokens; bytes that are no whole character become U+FFFD. `skipSpecial` leaves out special tokens. */
  readonly decode: (
    tokens: ReadonlyArray<number>,
    options?: DecodeOptions,
  ) => Effect.Effect<string, ModelError>
  /** The text of each row of tokens, in their order. */
  readonly decodeAll: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    options?: DecodeOptions,
  ) => Effect.Effect<ReadonlyArray<string>, ModelError>
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

const Vocabulary = Schema.Record(Schema.String, Schema.Int)

const input = (model: string, problem: string) => new ModelError({ model, problem, blame: "input" })

/** A definition, and the file to name where something is wrong with it. */
interface Located {
  readonly path: string
  readonly definition: Definition
}

/** The tokenizer.json that vocab.json and merges.txt stand for. */
const fromVocabulary = Effect.fnUntraced(function* (
  files: Checkpoint["files"],
  vocabulary: string,
  merges: string,
): Effect.fn.Return<Located, ModelError> {
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
          `merges.txt; known: ${ByteLevel.known.join(", ")}. Save a ` +
          "tokenizer.json: a fast tokenizer of transformers writes one",
      )
    : { path: vocabulary, definition: { text: JSON.stringify(definition) } }
})

const definitionOf = Effect.fnUntraced(function* (files: Checkpoint["files"]) {
  const { "merges.txt": merges, "tokenizer.json": path, "vocab.json": vocabulary } = files
  if (path !== undefined) return { path, definition: { path } } satisfies Located
  if (vocabulary !== undefined && merges !== undefined)
    return yield* fromVocabulary(files, vocabulary, merges)
  return yield* input(
    entryOr(files, "config.json", "checkpoint"),
    "there is no tokenizer.json beside it, nor vocab.json with merges.txt",
  )
})

/** Handles that nobody holds any more are let go. */
const forgotten = new FinalizationRegistry<number>(Client.close)

const ofHandle = (path: string, handle: Client.Handle): Tokenizer => {
  const { key } = handle
  const ask = (body: Parameters<typeof Client.request>[1]) =>
    Effect.mapError(
      Client.request(handle, body),
      ({ problem }) =>
        new ModelError({ model: path, problem: `unusable tokenizer: ${problem}`, blame: "input" }),
    )
  const encodeAll: Tokenizer["encodeAll"] = (texts, { addSpecial = true } = {}) =>
    texts.length === 0
      ? Effect.succeed([])
      : Effect.map(ask({ _tag: "Encode", key, texts, addSpecial }), (reply) =>
          reply._tag === "Encoded" ? reply.rows.map((row) => [...row]) : [],
        )
  const decodeAll: Tokenizer["decodeAll"] = (rows, { skipSpecial = false } = {}) =>
    rows.every((row) => row.length === 0)
      ? Effect.succeed(rows.map(() => ""))
      : Effect.map(ask({ _tag: "Decode", key, rows, skipSpecial }), (reply) =>
          reply._tag === "Decoded" ? reply.texts : [],
        )
  return {
    encodeAll,
    decodeAll,
    encode: (text, options) => Effect.map(encodeAll([text], options), (rows) => at(rows, 0)),
    decode: (tokens, options) => Effect.map(decodeAll([tokens], options), (texts) => at(texts, 0)),
  }
}

/**
 * Opens the tokenizer of a checkpoint; fails when it has none, or one that cannot be used.
 *
 * @example
 * ```ts
 * import { Checkpoint, Tokenizer } from "@hila/model"
 * import * as Effect from "effect/Effect"
 *
 * const tokens = Effect.gen(function* () {
 *   const tokenizer = yield* Tokenizer.open(yield* Checkpoint.open("fixtures/micro/base"))
 *   return yield* tokenizer.encode("Q: 87+45")
 * })
 * ```
 */
export const open = Effect.fnUntraced(function* (
  checkpoint: Pick<Checkpoint, "files">,
): Effect.fn.Return<Tokenizer, ModelError> {
  const { definition, path } = yield* definitionOf(checkpoint.files)
  const handle = Client.handle(definition)
  yield* Effect.mapError(
    Client.request(handle, { _tag: "Open", key: handle.key, definition }),
    ({ problem }) =>
      new ModelError({ model: path, problem: `unusable tokenizer: ${problem}`, blame: "input" }),
  )
  const tokenizer = ofHandle(path, handle)
  forgotten.register(tokenizer, handle.key)
  return tokenizer
})

/**
 * Whether a text begins with the token that the tokenizer would put in front of it, as chat templates write it; such a
 * text is encoded without special tokens, or it would have two.
 */
export const beginsWithSpecial = Effect.fnUntraced(function* (tokenizer: Tokenizer, text: string) {
  const beginning = yield* tokenizer.decode((yield* tokenizer.encode("")).slice(0, 1))
  return beginning !== "" && text.startsWith(beginning)
})
