/** A checkpoint's tokenizer.json as far as merging needs it: which token has which id. */
import type { Checkpoint } from "@hila/model"
import { CheckpointError, JsonText } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"

const Added = Schema.StructWithRest(Schema.Struct({ id: Schema.Int, content: Schema.String }), [
  Schema.Record(Schema.String, Schema.Unknown),
])

const Contents = Schema.StructWithRest(
  Schema.Struct({
    added_tokens: Schema.optionalKey(Schema.NullOr(Schema.Array(Added))),
    model: Schema.StructWithRest(
      Schema.Struct({
        type: Schema.optionalKey(Schema.String),
        vocab: Schema.Union([
          Schema.Record(Schema.String, Schema.Int),
          Schema.Array(Schema.Tuple([Schema.String, Schema.Finite])),
        ]),
        merges: Schema.optionalKey(
          Schema.Array(Schema.Union([Schema.String, Schema.Tuple([Schema.String, Schema.String])])),
        ),
      }),
      [Schema.Record(Schema.String, Schema.Unknown)],
    ),
  }),
  [Schema.Record(Schema.String, Schema.Unknown)],
)

/** A tokenizer.json with all its keys. */
export type Contents = typeof Contents.Type

/** A tokenizer's file and its vocabulary. */
export interface TokenizerFile {
  readonly contents: Contents
  /** Ids by token, added tokens included. */
  readonly ids: ReadonlyMap<string, number>
}

const decode = Schema.decodeUnknownEffect(JsonText.fromText(Contents))

/** The vocabulary of a checkpoint, which needs a tokenizer.json. */
export const read = Effect.fnUntraced(function* ({ files }: Checkpoint.Checkpoint, name: string) {
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
  const contents = yield* Effect.mapError(decode(text), () =>
    refuse("is no tokenizer.json with a vocabulary"),
  )
  return { contents, ids: idsOf(contents) } satisfies TokenizerFile
})

const idsOf = ({ added_tokens, model: { vocab } }: Contents): ReadonlyMap<string, number> => {
  const ids = new Map<string, number>()
  if (isList(vocab)) for (const [id, [token]] of vocab.entries()) ids.set(token, id)
  else for (const [token, id] of Object.entries(vocab)) ids.set(token, id)
  for (const { content, id } of added_tokens ?? []) ids.set(content, id)
  return ids
}

type Vocabulary = Contents["model"]["vocab"]

/** Whether a vocabulary is a list with scores (Unigram), not a map from token to id. */
export const isList = (vocab: Vocabulary): vocab is Extract<Vocabulary, ReadonlyArray<unknown>> =>
  Array.isArray(vocab)

/** Files that belong to a tokenizer. */
export const isTokenizerFile = (name: string): boolean =>
  /^(?:tokenizer.*|special_tokens_map\.json|added_tokens\.json|vocab\..*|merges\.txt|chat_template.*|additional_chat_templates\/.*|tekken.*|.*\.(?:model|spm|tiktoken))$/.test(
    name,
  )
