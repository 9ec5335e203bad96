/**
 * What a recipe's tokenizer rule does: the result's vocabulary and tokenizer files, and where each row comes from.
 */
import type { Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import type { ModelReference, Recipe } from "../recipe/RecipeSchema.ts"
import * as Reference from "../recipe/Reference.ts"
import * as RowFile from "./RowFile.ts"
import * as Rows from "./Rows.ts"
import * as TokenizerFile from "./TokenizerFile.ts"
import * as Union from "./Union.ts"

/** A model whose vocabulary takes part; the base first, where there is one. */
export interface Participant {
  readonly text: string
  readonly checkpoint: Checkpoint.Checkpoint
}

/** The vocabulary of a result. */
export interface Alignment {
  /** Rows of embedding and head. */
  readonly rows: number
  /** By the text of the model's reference, in the order of the participants. */
  readonly models: ReadonlyMap<string, ReadonlyArray<Rows.Row>>
  /** Tokenizer files to copy, by name. */
  readonly files: Readonly<Record<string, string>>
  /** The new tokenizer.json, where no model's fits as it is. */
  readonly tokenizer: TokenizerFile.Contents | undefined
  readonly notes: ReadonlyArray<string>
}

type Rule = NonNullable<Recipe["tokenizer"]>

interface Request {
  readonly rule: Rule
  readonly path: Path
}

/** The tokenizer rule of a recipe, in either form. */
export const requestOf = Effect.fnUntraced(function* ({
  error,
  recipe,
}: Located): Effect.fn.Return<Request | undefined, RecipeError> {
  if (recipe.tokenizer != null && recipe.tokenizer_source != null) {
    return yield* error(["tokenizer"], "tokenizer and tokenizer_source are both given: keep one of them")
  }
  if (recipe.tokenizer != null) return { rule: recipe.tokenizer, path: ["tokenizer"] }
  if (recipe.tokenizer_source != null)
    return { rule: { source: recipe.tokenizer_source }, path: ["tokenizer_source"] }
  return undefined
})

/** Works out a rule; the first of `participants` is the base where `hasBase`. */
export const of = Effect.fnUntraced(function* (
  located: Located,
  { path, rule }: Request,
  participants: ReadonlyArray<Participant>,
  hasBase: boolean,
): Effect.fn.Return<Alignment, RecipeError | CheckpointError> {
  const files = yield* Effect.forEach(participants, ({ checkpoint, text }) =>
    TokenizerFile.read(checkpoint, text),
  )
  const source = rule.source ?? "union"
  const donor = yield* donorOf(located, path, source, participants)
  const wanted = Object.keys(rule.tokens ?? {})
  const order = [files[donor]!, ...(source === "union" ? files.filter((_, index) => index !== donor) : [])]
  const united = Union.of([order[0]!, ...order.slice(1)], wanted)
  if (united._tag === "Refused") return yield* located.error(path, united.problem)
  const ids = Math.max(-1, ...united.ids.values()) + 1
  const multiple = rule.pad_to_multiple_of ?? 1
  const rows = Math.ceil(ids / multiple) * multiple
  const rules = yield* rulesOf(located, path, rule, participants, files)
  const models = Rows.assign({
    vocabulary: united.ids,
    rows,
    models: files.map((file) => file.ids),
    base: hasBase ? 0 : undefined,
    rules,
  })
  const outside = outsideOf(united.ids, models, participants)
  if (outside !== undefined) return yield* located.error(outside.path(path, rule), outside.problem)
  const { files: of } = participants[donor]!.checkpoint
  const own = Object.entries(of).filter(([name]) => TokenizerFile.isTokenizerFile(name))
  return {
    rows,
    models: new Map(participants.map(({ text }, index) => [text, models[index]!])),
    files: Object.fromEntries(united.grew ? own.filter(([name]) => name !== "tokenizer.json") : own),
    tokenizer: united.grew ? united.contents : undefined,
    notes: notesOf(participants, rows, ids, united.grew),
  }
})

/** The first row that a model's matrices do not have: of a rule's id, or of a tokenizer with more tokens than rows. */
const outsideOf = (
  vocabulary: ReadonlyMap<string, number>,
  models: ReadonlyArray<ReadonlyArray<Rows.Row>>,
  participants: ReadonlyArray<Participant>,
) => {
  const has = participants.map(({ checkpoint }) =>
    Math.min(
      ...[...checkpoint.tensors.values()].filter(RowFile.isVocabulary).map(({ shape }) => shape[0] ?? 0),
    ),
  )
  for (const [token, at] of vocabulary) {
    for (const rows of models) {
      const row = rows[at]
      if (row?._tag !== "Rows") continue
      const found = row.from.find(({ id, model }) => id >= has[model]!)
      if (found === undefined) continue
      const whose = `${participants[found.model]!.text} has ${has[found.model]} embedding rows`
      return {
        path: (path: Path, { tokens }: Rule): Path =>
          tokens != null && Object.hasOwn(tokens, token) ? [...path, "tokens", token] : path,
        problem: `token ${JSON.stringify(token)}: ${whose}, none for the id ${found.id}: give the token another source under tokenizer.tokens, with force: true`,
      }
    }
  }
  return undefined
}

const notesOf = (participants: ReadonlyArray<Participant>, rows: number, ids: number, grew: boolean) => [
  `the vocabulary has ${ids} tokens${rows === ids ? "" : `, padded to ${rows} rows with each model's mean`}`,
  ...participants.flatMap(({ checkpoint, text }) => {
    const size = checkpoint.config["vocab_size"]
    return typeof size === "number" && size > rows
      ? [
          `${text} has ${size} embedding rows, the result ${rows}: rows without a token are left out (pad_to_multiple_of keeps some)`,
        ]
      : []
  }),
  ...(grew ? ["tokenizer.json is written anew, since no model has all these tokens"] : []),
]

/** The participant whose tokenizer the result's is, or begins with. */
const donorOf = (
  { error, reference }: Located,
  path: Path,
  source: ModelReference,
  participants: ReadonlyArray<Participant>,
): Effect.Effect<number, RecipeError> => {
  if (source === "union" || source === "base") return Effect.succeed(0)
  // Sources may be written `model:path`.
  const text =
    typeof source === "string" && source.startsWith("model:")
      ? source.slice("model:".length)
      : Reference.text(reference(source))
  const at = participants.findIndex((participant) => participant.text === text)
  return at === -1
    ? Effect.fail(
        error(
          path,
          `tokenizer source ${text} is no model of the merge: union, base, or one of ${participants.map((each) => each.text).join(", ")}`,
        ),
      )
    : Effect.succeed(at)
}

const rulesOf = Effect.fnUntraced(function* (
  located: Located,
  path: Path,
  { tokens }: Rule,
  participants: ReadonlyArray<Participant>,
  files: ReadonlyArray<TokenizerFile.TokenizerFile>,
) {
  const rules = new Map<string, Rows.Rule>()
  for (const [token, { force = false, source }] of Object.entries(tokens ?? {})) {
    const at = [...path, "tokens", token, "source"]
    if (typeof source !== "string" && "kind" in source && source.kind === "zero") {
      rules.set(token, { row: { _tag: "Zero" }, force })
      continue
    }
    const plain = typeof source === "string" ? { model: source } : source
    if (plain.model === undefined)
      return yield* located.error(at, `token ${token}: name the model whose token it is`)
    const model = yield* donorOf(located, at, plain.model, participants)
    const name = "token" in plain ? plain.token : undefined
    const id = ("token_id" in plain ? plain.token_id : undefined) ?? files[model]!.ids.get(name ?? token)
    if (id === undefined) {
      return yield* located.error(
        at,
        `${participants[model]!.text} has no token ${JSON.stringify(name ?? token)}`,
      )
    }
    rules.set(token, { row: { _tag: "Rows", from: [{ model, id }] }, force })
  }
  return rules
})
