/**
 * A checkpoint's tokenizer.json as far as merging needs it: which token has which id, what makes tokens, and its text.
 *
 * Tokens are keys of maps alone: any text may be one, `__proto__` too, which an object would lose.
 */
import type { Checkpoint } from "@hila/model"
import { CheckpointError, JsonText } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"

const Added = Schema.StructWithRest(Schema.Struct({ id: Schema.Int, content: Schema.String }), [
  Schema.Record(Schema.String, Schema.Unknown),
])

/** An added token: matched in texts before anything else, with flags that say how. */
export type Added = typeof Added.Type

const Contents = Schema.StructWithRest(
  Schema.Struct({
    added_tokens: Schema.optionalKey(Schema.NullOr(Schema.Array(Added))),
    model: Schema.StructWithRest(
      Schema.Struct({
        type: Schema.optionalKey(Schema.NullOr(Schema.String)),
        vocab: Schema.Unknown,
        merges: Schema.optionalKey(Schema.Unknown),
      }),
      [Schema.Record(Schema.String, Schema.Unknown)],
    ),
  }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)

/** Two tokens that become one. */
export type Merge = readonly [string, string]

/** A tokenizer's file and its vocabulary. */
export interface TokenizerFile {
  readonly text: string
  /** BPE, Unigram, WordPiece or WordLevel. */
  readonly kind: string
  /** Ids by token of the model's own vocabulary, without tokens that are only added. */
  readonly vocabulary: ReadonlyMap<string, number>
  /** Scores by token, of a Unigram, whose ids are places in a list. */
  readonly scores: ReadonlyMap<string, number> | undefined
  readonly merges: ReadonlyArray<Merge>
  /** How its merges are written, `"a b"` or `["a", "b"]`; undefined where it has none. */
  readonly mergesForm: "text" | "pairs" | undefined
  readonly added: ReadonlyMap<string, Added>
  /** Ids by token, added tokens included. */
  readonly ids: ReadonlyMap<string, number>
  /** Normalizer, pre-tokenizer and all else of the file's top, and the model's options. */
  readonly parts: Readonly<Record<string, unknown>>
  readonly options: Readonly<Record<string, unknown>>
}

const decode = Schema.decodeUnknownEffect(JsonText.fromText(Contents))

/** The tokenizer.json of a checkpoint, which must have one; `name` stands for the checkpoint in the error. */
export const read = Effect.fnUntraced(function* (
  { files }: Pick<Checkpoint.Checkpoint, "files">,
  name: string,
): Effect.fn.Return<TokenizerFile, CheckpointError> {
  const path = files["tokenizer.json"]
  const refuse = (problem: string) => new CheckpointError({ path: path ?? name, problem, blame: "input" })
  if (path === undefined) {
    return yield* refuse(
      "has no tokenizer.json, which a tokenizer rule needs: save the tokenizer in that form first",
    )
  }
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => refuse(String(cause)),
  })
  const { added_tokens, model, ...parts } = yield* Effect.mapError(decode(text), () =>
    refuse("is no tokenizer.json with a vocabulary"),
  )
  const { merges: written, type, vocab, ...options } = model
  const vocabulary = vocabularyOf(vocab)
  if (typeof vocabulary === "string") return yield* refuse(vocabulary)
  const merges = mergesOf(written)
  if (typeof merges === "string") return yield* refuse(merges)
  const added = new Map((added_tokens ?? []).map((token) => [token.content, token]))
  // A token that is added and in the vocabulary has the vocabulary's id, whatever is written beside it.
  const ids = new Map(vocabulary.ids)
  for (const [content, { id }] of added) if (!ids.has(content)) ids.set(content, id)
  return {
    text,
    kind: type ?? kindOf(written, vocabulary.scores, options),
    vocabulary: vocabulary.ids,
    scores: vocabulary.scores,
    ...merges,
    added,
    ids,
    parts,
    options,
  }
})

/** The kind of a file that does not say it, as the reference library tells it. */
const kindOf = (merges: unknown, scores: unknown, options: Readonly<Record<string, unknown>>): string => {
  if (merges !== undefined) return "BPE"
  if (scores !== undefined) return "Unigram"
  return options["continuing_subword_prefix"] === undefined ? "WordLevel" : "WordPiece"
}

/** A vocabulary from a map of ids or a list of tokens with scores, or what is wrong with it. */
const vocabularyOf = (vocab: unknown) => {
  if (Array.isArray(vocab)) {
    const ids = new Map<string, number>()
    const scores = new Map<string, number>()
    for (const [id, entry] of vocab.entries()) {
      const [token, score]: ReadonlyArray<unknown> = Array.isArray(entry) ? entry : []
      if (typeof token !== "string" || typeof score !== "number")
        return `model.vocab: expected a token and its score at place ${id}, got ${JSON.stringify(entry)}`
      ids.set(token, id)
      scores.set(token, score)
    }
    return { ids, scores }
  }
  const ids = idsIn(vocab)
  return typeof ids === "string" ? `model.vocab: ${ids}` : { ids, scores: undefined }
}

/** The ids of a map from token to id, or what is wrong with it. */
export const idsIn = (vocab: unknown): Map<string, number> | string => {
  if (typeof vocab !== "object" || vocab === null || Array.isArray(vocab))
    return "is no map from tokens to ids"
  const ids = new Map<string, number>()
  for (const [token, id] of Object.entries({ ...vocab })) {
    if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 0)
      return `the token ${JSON.stringify(token)}: expected an id, 0 or above, got ${JSON.stringify(id)}`
    ids.set(token, id)
  }
  return ids
}

/** Merges in one form, whichever of the two a file has, or what is wrong with them. */
const mergesOf = (written: unknown) => {
  const merges: Array<Merge> = []
  if (written === undefined || written === null) return { merges, mergesForm: undefined }
  if (!Array.isArray(written)) return "model.merges: expected a list"
  let form: "text" | "pairs" | undefined
  for (const [index, merge] of written.entries()) {
    const parts: ReadonlyArray<unknown> =
      typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : []
    const [left, right] = parts
    if (parts.length !== 2 || typeof left !== "string" || typeof right !== "string")
      return `model.merges: expected two tokens at place ${index}, got ${JSON.stringify(merge)}`
    form ??= typeof merge === "string" ? "text" : "pairs"
    merges.push([left, right])
  }
  return { merges, mergesForm: form }
}

/** Files that say a vocabulary in a form of older or other libraries. */
export const isOtherForm = (name: string): boolean =>
  /^(?:added_tokens\.json|vocab\..*|merges\.txt|tekken.*|.*\.(?:model|spm|tiktoken))$/.test(name)

/** Files that say a vocabulary. */
export const isVocabularyFile = (name: string): boolean => name === "tokenizer.json" || isOtherForm(name)

/** Files that belong to a tokenizer. */
export const isTokenizerFile = (name: string): boolean =>
  isOtherForm(name) ||
  /^(?:tokenizer.*|special_tokens_map\.json|chat_template.*|additional_chat_templates\/.*)$/.test(name)
