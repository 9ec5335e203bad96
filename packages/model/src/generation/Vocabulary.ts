/**
 * Whether two models mean the same by each token: their vocabularies, token by token, from their tokenizers' files.
 */
import { entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { dirname } from "node:path"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import { readText } from "../internal/readText.ts"
import * as JsonText from "../checkpoint/JsonText.ts"
import { ModelError } from "../ModelError.ts"

/** A token's id by its text, or, in unigram models, all tokens with their scores in the order of ids. */
const Ids = Schema.Record(Schema.String, Schema.Int)
const Vocab = Schema.Union([Ids, Schema.Array(Schema.Tuple([Schema.String, Schema.Number]))])

const TokenizerFile = JsonText.fromText(
  Schema.Struct({
    model: Schema.Struct({ vocab: Vocab }),
    added_tokens: Schema.optionalKey(Schema.Array(Schema.Struct({ id: Schema.Int, content: Schema.String }))),
  }),
)
const VocabFile = JsonText.fromText(Ids)

/** `Array.isArray` does not tell lists that are read only from records. */
const isList = (vocab: typeof Vocab.Type): vocab is Exclude<typeof Vocab.Type, typeof Ids.Type> =>
  Array.isArray(vocab)

const byId = (vocab: typeof Vocab.Type): Map<number, string> =>
  new Map(
    isList(vocab)
      ? vocab.map(([token], id) => [id, token] as const)
      : Object.entries(vocab).map(([token, id]) => [id, token] as const),
  )

/** A model's directory, which stands for it in errors. */
export const nameOf = ({ files }: Pick<Checkpoint, "files">): string =>
  dirname(entryOr(files, "config.json", "model"))

const text = Effect.fnUntraced(function* ({ files }: Pick<Checkpoint, "files">) {
  const path = files["tokenizer.json"] ?? files["vocab.json"]
  if (path === undefined) {
    const problem = "neither tokenizer.json nor vocab.json is there, so its vocabulary is unknown"
    return yield* new ModelError({ model: nameOf({ files }), problem, blame: "input" })
  }
  return { path, json: yield* readText(path) }
})

const tokens = Effect.fnUntraced(function* ({
  json,
  path,
}: {
  readonly path: string
  readonly json: string
}) {
  const unreadable = () => new ModelError({ model: path, problem: "no vocabulary in it", blame: "input" })
  if (path.endsWith("vocab.json")) {
    return byId(yield* Effect.mapError(Schema.decodeUnknownEffect(VocabFile)(json), unreadable))
  }
  const { added_tokens: added = [], model } = yield* Effect.mapError(
    Schema.decodeUnknownEffect(TokenizerFile)(json),
    unreadable,
  )
  const all = byId(model.vocab)
  for (const { content, id } of added) all.set(id, content)
  return all
})

/** Fails with the first token that `other` has another text for than `one`. */
export const check = Effect.fnUntraced(function* (
  one: Pick<Checkpoint, "files">,
  other: Pick<Checkpoint, "files">,
): Effect.fn.Return<void, ModelError> {
  const [first, second] = [yield* text(one), yield* text(other)]
  if (first.json === second.json) return
  const [ours, theirs] = [yield* tokens(first), yield* tokens(second)]
  for (const id of new Set([...ours.keys(), ...theirs.keys()])) {
    const [expected, got] = [ours.get(id), theirs.get(id)].map((token) => JSON.stringify(token) ?? "none")
    if (expected === got) continue
    return yield* new ModelError({
      model: nameOf(other),
      problem: `another vocabulary than ${nameOf(one)}: token ${id}: expected ${expected}, got ${got}`,
      blame: "input",
    })
  }
})
