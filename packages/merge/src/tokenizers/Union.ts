/**
 * The union of tokenizers: the first one's, and what the others have besides, with new ids at the end.
 *
 * Tokens of the others' own vocabularies go into the vocabulary (with the merges that make them, after the first one's),
 * their added tokens become added tokens. All must be of one kind (BPE, Unigram, WordPiece).
 */
import { type Contents, isList, type TokenizerFile } from "./TokenizerFile.ts"

/** A union, or why there is none. */
export type Union =
  | {
      readonly _tag: "Union"
      readonly contents: Contents
      readonly ids: ReadonlyMap<string, number>
      readonly grew: boolean
    }
  | { readonly _tag: "Refused"; readonly problem: string }

/** Joins tokenizers in order; `extra` tokens that none has are added at the end. */
export const of = (
  [first, ...others]: readonly [TokenizerFile, ...ReadonlyArray<TokenizerFile>],
  extra: ReadonlyArray<string> = [],
): Union => {
  const kind = first.contents.model.type
  const odd = others.find(({ contents }) => contents.model.type !== kind)
  if (odd !== undefined) {
    return {
      _tag: "Refused",
      problem: `tokenizers of different kinds (${kind} and ${odd.contents.model.type}) have no union: take one model's`,
    }
  }
  const ids = new Map(first.ids)
  let next = Math.max(-1, ...ids.values()) + 1
  const { model } = first.contents
  const added = [...(first.contents.added_tokens ?? [])]
  const list = isList(model.vocab) ? [...model.vocab] : []
  const map = isList(model.vocab) ? {} : { ...model.vocab }
  const merges = [...(model.merges ?? [])]
  const known = new Set(merges.map(mergeText))
  for (const { contents, ids: own } of others) {
    const special = new Map((contents.added_tokens ?? []).map((token) => [token.content, token]))
    const scores = isList(contents.model.vocab) ? new Map(contents.model.vocab) : new Map<string, number>()
    for (const [token] of [...own].toSorted((a, b) => a[1] - b[1])) {
      if (ids.has(token)) continue
      ids.set(token, next)
      const entry = special.get(token)
      // A list of a Unigram has its ids by position: past added tokens, a new one can only be added, too.
      if (entry !== undefined || (isList(model.vocab) && next !== list.length)) {
        added.push({
          special: false,
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: false,
          ...entry,
          content: token,
          id: next,
        })
      } else if (isList(model.vocab)) list.push([token, scores.get(token) ?? 0])
      else map[token] = next
      next += 1
    }
    for (const merge of contents.model.merges ?? []) {
      if (known.has(mergeText(merge))) continue
      known.add(mergeText(merge))
      merges.push(merge)
    }
  }
  for (const token of extra) {
    if (ids.has(token)) continue
    ids.set(token, next)
    added.push({
      id: next,
      content: token,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })
    next += 1
  }
  const contents: Contents = {
    ...first.contents,
    added_tokens: added,
    model: {
      ...model,
      vocab: isList(model.vocab) ? list : map,
      ...(model.merges === undefined ? {} : { merges }),
    },
  }
  return { _tag: "Union", contents, ids, grew: ids.size > first.ids.size }
}

const mergeText = (merge: string | readonly [string, string]) =>
  typeof merge === "string" ? merge : merge.join(" ")
