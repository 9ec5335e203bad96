/**
 * What a recipe's tokenizer rule does: the result's vocabulary and tokenizer files, and where each row comes from.
 */
import { at, entry } from "@hila/core/Lookup"
import type { Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import type { ModelReference, Recipe } from "../recipe/RecipeSchema.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Rows from "./Rows.ts"
import * as Splitting from "./Splitting.ts"
import * as TokenizerFile from "./TokenizerFile.ts"
import * as Union from "./Union.ts"
import * as Vocabulary from "./Vocabulary.ts"

/** A model whose vocabulary takes part; the base first, where there is one. */
export interface Participant {
  readonly text: string
  readonly checkpoint: Checkpoint.Checkpoint
}

/** The vocabulary of a result. */
export interface Alignment {
  /** Rows of embedding and head. */
  readonly rows: number
  /** Ids by token. */
  readonly ids: ReadonlyMap<string, number>
  /** Each model's own ids by token, by the text of its reference. */
  readonly tokens: ReadonlyMap<string, ReadonlyMap<string, number>>
  /** The model whose tokenizer the result's is, or begins with. */
  readonly donor: string
  /** By the text of the model's reference, in the order of the participants. */
  readonly models: ReadonlyMap<string, ReadonlyArray<Rows.Row>>
  /** Tokenizer files to copy, by name. */
  readonly files: Readonly<Record<string, string>>
  /** The text of the new tokenizer.json, where no model's fits as it is. */
  readonly tokenizer: string | undefined
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
  const source = rule.source ?? "union"
  const donor = yield* donorOf(located, path, source, participants)
  const vocabularies = participants.map(({ checkpoint }) => Vocabulary.of(checkpoint))
  const { notes: assumed, tokenizers } = yield* tokenizersOf(located, path, participants, vocabularies, donor)
  const wanted = Object.keys(rule.tokens ?? {})
  const first = at(tokenizers, donor)
  const united = Union.of(
    [first, ...(source === "union" ? tokenizers.filter((each) => each !== first) : [])],
    wanted,
  )
  if (united._tag === "Refused") return yield* located.error(path, united.problem)
  let ids = 0
  for (const id of united.ids.values()) ids = Math.max(ids, id + 1)
  const multiple = rule.pad_to_multiple_of ?? 1
  const rows = Math.ceil(ids / multiple) * multiple
  const rules = yield* rulesOf(located, path, rule, participants, tokenizers, vocabularies)
  const owners = tokenizers.map(({ file }, index) => ({ ids: file.ids, rows: rowsOf(vocabularies, index) }))
  const assigned = Rows.assign({
    vocabulary: united.ids,
    rows,
    models: owners,
    base: hasBase ? 0 : undefined,
    rules,
  })
  const [unowned] = assigned.unowned
  if (unowned !== undefined) {
    const problem = `token ${JSON.stringify(unowned)}: no model has a row for its id ${entry(first.file.ids, unowned)} (${first.name} has ${rowsOf(vocabularies, donor)}): give it a source under tokenizer.tokens, {kind: zero} for instance`
    return yield* located.error(path, problem)
  }
  yield* checkDoubts(located, path, participants, vocabularies, assigned.models)
  const own = Object.entries(at(participants, donor).checkpoint.files).filter(([name]) =>
    TokenizerFile.isTokenizerFile(name),
  )
  const stale = united.text === undefined ? [] : own.filter(([name]) => TokenizerFile.isOtherForm(name))
  return {
    rows,
    ids: united.ids,
    tokens: new Map(tokenizers.map(({ file, name }) => [name, file.ids])),
    donor: at(participants, donor).text,
    models: new Map(participants.map(({ text }, index) => [text, at(assigned.models, index)])),
    files: Object.fromEntries(
      united.text === undefined
        ? own
        : own.filter(([name]) => name !== "tokenizer.json" && !TokenizerFile.isOtherForm(name)),
    ),
    tokenizer: united.text,
    notes: [
      ...assumed,
      ...notesOf(tokenizers, vocabularies, rows, ids, united.text !== undefined),
      ...Splitting.notesOf(
        first,
        tokenizers.filter((each) => each !== first),
      ),
      ...united.notes,
      ...(stale.length === 0
        ? []
        : [
            `${stale.map(([name]) => name).join(", ")} of ${first.name}: left out, since the union has more tokens`,
          ]),
    ],
  }
})

const rowsOf = (vocabularies: ReadonlyArray<Vocabulary.Vocabulary>, index: number): number =>
  at(vocabularies, index).rows ?? 0

/** The tokenizer of every participant; one that has none at all is taken to have the donor's. */
const tokenizersOf = Effect.fnUntraced(function* (
  located: Located,
  path: Path,
  participants: ReadonlyArray<Participant>,
  vocabularies: ReadonlyArray<Vocabulary.Vocabulary>,
  donor: number,
) {
  const { checkpoint, text: whose } = at(participants, donor)
  const first = yield* TokenizerFile.read(checkpoint, whose)
  const notes: Array<string> = []
  const tokenizers: Array<Union.Named> = []
  for (const [index, participant] of participants.entries()) {
    const { text: name } = participant
    const { rows } = at(vocabularies, index)
    if (rows === undefined) {
      const problem = `${name} has no embedding by name (embed_tokens, wte, word_embeddings, …), so no rows that a tokenizer rule could move`
      return yield* located.error(path, problem)
    }
    const { files } = participant.checkpoint
    const isBare = !Object.keys(files).some(TokenizerFile.isVocabularyFile)
    if (isBare && rows === rowsOf(vocabularies, donor)) {
      notes.push(`${name} has no tokenizer: it is taken to have the tokens of ${whose}, with as many rows`)
      tokenizers.push({ name, file: first })
    } else {
      tokenizers.push({ name, file: index === donor ? first : yield* TokenizerFile.read({ files }, name) })
    }
  }
  return { notes, tokenizers }
})

/** Refuses to move rows of a model of which a tensor may have rows per token, and may not. */
const checkDoubts = Effect.fnUntraced(function* (
  located: Located,
  path: Path,
  participants: ReadonlyArray<Participant>,
  vocabularies: ReadonlyArray<Vocabulary.Vocabulary>,
  models: ReadonlyArray<ReadonlyArray<Rows.Row>>,
) {
  for (const [index, { text }] of participants.entries()) {
    const { doubtful, rows: has = 0 } = at(vocabularies, index)
    const rows = at(models, index)
    const found = doubtful.find(({ bySize }) =>
      bySize ? !Rows.isIdentity(rows, index, has) : !Rows.isInPlace(rows, index, has),
    )
    if (found === undefined) continue
    const problem = `tensor ${found.name} of ${text} ${found.problem}: whether its rows are tokens' is not known, and the tokenizer rule moves those`
    return yield* located.error(path, problem)
  }
})

const notesOf = (
  tokenizers: ReadonlyArray<Union.Named>,
  vocabularies: ReadonlyArray<Vocabulary.Vocabulary>,
  rows: number,
  ids: number,
  grew: boolean,
) => [
  `the vocabulary has ${ids} tokens${rows === ids ? "" : `, padded to ${rows} rows with the mean of each model's rows of tokens`}`,
  ...tokenizers.flatMap(({ file, name }, index) => {
    const size = rowsOf(vocabularies, index)
    const without = [...file.ids].filter(([, id]) => id >= size).map(([token]) => token)
    return [
      ...(size > rows
        ? [
            `${name} has ${size} embedding rows, the result ${rows}: rows without a token are left out (pad_to_multiple_of keeps some)`,
          ]
        : []),
      ...(without.length > 0
        ? [`${name} has ${size} embedding rows and none for its tokens ${Union.shown(without)}`]
        : []),
    ]
  }),
  ...(grew ? ["tokenizer.json is the first model's with new tokens in it, since no model has them all"] : []),
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
  const index = participants.findIndex((participant) => participant.text === text)
  return index === -1
    ? Effect.fail(
        error(
          path,
          `tokenizer source ${text} is no model of the merge: union, base, or one of ${participants.map((each) => each.text).join(", ")}`,
        ),
      )
    : Effect.succeed(index)
}

const rulesOf = Effect.fnUntraced(function* (
  located: Located,
  path: Path,
  { tokens }: Rule,
  participants: ReadonlyArray<Participant>,
  tokenizers: ReadonlyArray<Union.Named>,
  vocabularies: ReadonlyArray<Vocabulary.Vocabulary>,
) {
  const rules = new Map<string, Rows.Rule>()
  for (const [token, { force = false, source }] of Object.entries(tokens ?? {})) {
    const place = [...path, "tokens", token, "source"]
    if (typeof source !== "string" && "kind" in source && source.kind === "zero") {
      rules.set(token, { row: { _tag: "Zero" }, force })
      continue
    }
    const plain = typeof source === "string" ? { model: source } : source
    if (plain.model === undefined)
      return yield* located.error(place, `token ${token}: name the model whose token it is`)
    const model = yield* donorOf(located, place, plain.model, participants)
    const name = "token" in plain ? plain.token : undefined
    const id =
      ("token_id" in plain ? plain.token_id : undefined) ?? at(tokenizers, model).file.ids.get(name ?? token)
    if (id === undefined) {
      return yield* located.error(
        place,
        `${at(participants, model).text} has no token ${JSON.stringify(name ?? token)}`,
      )
    }
    const has = rowsOf(vocabularies, model)
    if (id >= has) {
      const problem = `token ${JSON.stringify(token)}: ${at(participants, model).text} has ${has} embedding rows, none for the id ${id}: give the token another source under tokenizer.tokens, with force: true`
      return yield* located.error([...path, "tokens", token], problem)
    }
    rules.set(token, { row: { _tag: "Rows", from: [{ model, id }] }, force })
  }
  return rules
})
