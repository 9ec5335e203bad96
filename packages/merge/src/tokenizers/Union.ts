/**
 * The union of tokenizers: the first one's file, and what the others have besides, with new ids at the end.
 *
 * Tokens of the others' own vocabularies go into the vocabulary (with the merges that make them, after the first one's),
 * their added tokens become added tokens. All must be of one kind (BPE, Unigram, WordPiece, WordLevel).
 */
import { entryOr } from "@hila/core/Lookup"
import * as Placement from "./Placement.ts"
import type { Added, Merge, TokenizerFile } from "./TokenizerFile.ts"
import * as UnionText from "./UnionText.ts"

/** A union, or why there is none. */
export type Union =
  | {
      readonly _tag: "Union"
      /** The new tokenizer.json, or undefined where the first one's says it all. */
      readonly text: string | undefined
      readonly ids: ReadonlyMap<string, number>
      readonly notes: ReadonlyArray<string>
    }
  | { readonly _tag: "Refused"; readonly problem: string }

/** A tokenizer and its model's name. */
export interface Named {
  readonly name: string
  readonly file: TokenizerFile
}

/** How an added token is matched. */
const flags = ["special", "single_word", "lstrip", "rstrip", "normalized"] as const

const plain = { special: false, single_word: false, lstrip: false, rstrip: false, normalized: false }

/** Options by which merges and words are spelled: tokenizers that differ in them have no union. */
const spelling = ["continuing_subword_prefix", "end_of_word_suffix"] as const

/** Joins tokenizers in order; `extra` tokens that none has are added at the end. */
export const of = (
  [first, ...others]: readonly [Named, ...ReadonlyArray<Named>],
  extra: ReadonlyArray<string> = [],
): Union => {
  const problem = others.map((other) => clash(first, other)).find((found) => found !== undefined)
  if (problem !== undefined) return { _tag: "Refused", problem }
  const { file } = first
  const placement = Placement.begin(file)
  for (const { file: other } of others) {
    for (const token of byId(other.vocabulary)) {
      if (file.vocabulary.has(token)) continue
      const isAdded = other.added.has(token) || file.added.has(token)
      if (isAdded) placement.alsoOrdinary(token)
      else placement.ordinary(token, other.scores?.get(token))
    }
  }
  const notes: Array<string> = []
  const added = new Map(file.added)
  const fresh: Array<Added> = []
  const add = (token: Added) => {
    const own = { ...token, id: placement.added(token.content) }
    added.set(token.content, own)
    fresh.push(own)
  }
  for (const { file: other, name } of others) {
    const promoted: Array<string> = []
    const unlike: Array<string> = []
    for (const token of [...other.added.values()].toSorted((a, b) => a.id - b.id)) {
      const own = added.get(token.content)
      if (own === undefined) {
        if (file.vocabulary.has(token.content)) promoted.push(token.content)
        add({ ...plain, ...token })
      } else if (flags.some((flag) => (own[flag] === true) !== (token[flag] === true))) {
        unlike.push(token.content)
      }
    }
    if (promoted.length > 0)
      notes.push(
        `added tokens of ${name} are ordinary ones of ${first.name}, and become added ones: ${shown(promoted)}`,
      )
    if (unlike.length > 0)
      notes.push(
        `added tokens of ${name} with other flags than an earlier model gives them, whose flags are kept: ${shown(unlike)}`,
      )
  }
  for (const content of extra)
    if (!placement.ids.has(content)) add({ ...plain, special: true, content, id: 0 })
  if (fresh.length === 0 && placement.ids.size === file.ids.size)
    return { _tag: "Union", text: undefined, ids: placement.ids, notes }
  const vocabulary = placement.vocabulary([...file.added.values(), ...fresh])
  const inVocabulary = new Set([...file.vocabulary.keys(), ...vocabulary.map(({ token }) => token)])
  const merges = mergesOf(first, others, inVocabulary, notes)
  const text = UnionText.write(file, {
    added: fresh,
    vocabulary,
    merges,
    others: others.map((other) => other.file),
  })
  return { _tag: "Union", text, ids: placement.ids, notes }
}

/** Why two tokenizers have no union. */
const clash = (first: Named, other: Named): string | undefined => {
  const [kind, got] = [first.file.kind, other.file.kind]
  if (kind !== got)
    return `tokenizers of different kinds (${kind} in ${first.name}, ${got} in ${other.name}) have no union: take one model's`
  const option = spelling.find(
    (name) => entryOr(first.file.options, name, "") !== entryOr(other.file.options, name, ""),
  )
  if (option === undefined) return undefined
  const [ours, theirs] = [first, other].map(({ file }) => JSON.stringify(entryOr(file.options, option, null)))
  return `the tokenizers spell words differently (${option} is ${ours} in ${first.name}, ${theirs} in ${other.name}) and have no union: take one model's`
}

const byId = (ids: ReadonlyMap<string, number>): ReadonlyArray<string> =>
  [...ids].toSorted((a, b) => a[1] - b[1]).map(([token]) => token)

/** Merges of the others that the first has not, as far as the vocabulary has both parts and the result. */
const mergesOf = (
  { file }: Named,
  others: ReadonlyArray<Named>,
  vocabulary: ReadonlySet<string>,
  notes: Array<string>,
): ReadonlyArray<Merge> => {
  // Parts are kept apart in the key: ["a b", "c"] is another merge than ["a", "b c"].
  const known = new Set(file.merges.map((merge) => JSON.stringify(merge)))
  const prefix = file.options["continuing_subword_prefix"]
  const cut = typeof prefix === "string" ? prefix.length : 0
  const merges: Array<Merge> = []
  for (const { file: other, name } of others) {
    const left: Array<string> = []
    for (const merge of other.merges) {
      const key = JSON.stringify(merge)
      if (known.has(key)) continue
      known.add(key)
      const [a, b] = merge
      if ([a, b, a + b.slice(cut)].every((token) => vocabulary.has(token))) merges.push(merge)
      else left.push(a + b.slice(cut))
    }
    if (left.length > 0)
      notes.push(
        `merges of ${name} are left out, since not all of their tokens are in its vocabulary: ${shown(left)}`,
      )
  }
  return merges
}

/** A few tokens of a list, for a message. */
export const shown = (tokens: ReadonlyArray<string>): string => {
  const few = tokens.slice(0, 5).map((token) => JSON.stringify(token))
  return tokens.length > few.length
    ? `${few.join(", ")} and ${tokens.length - few.length} more`
    : few.join(", ")
}
