/**
 * Ids for the tokens of a union.
 *
 * The reference library gives an added token that is in no vocabulary the next free id, whatever its file says. So new
 * tokens in the vocabulary would push the added ones away, unless those stand in the vocabulary, too. A Unigram's ids are
 * places in its list: there, added tokens take their places with the lowest score, as multilingual models have it.
 */
import { entry } from "@hila/core/Lookup"
import type { Added, TokenizerFile } from "./TokenizerFile.ts"

/** A token for the vocabulary; the score is a Unigram's. */
export interface Entry {
  readonly token: string
  readonly id: number
  readonly score: number
}

/** Begins with a tokenizer's own ids. */
export const begin = (file: TokenizerFile) => {
  const ids = new Map(file.ids)
  const entries = new Map<string, Entry>()
  const wanted = new Set<string>()
  const isList = file.scores !== undefined
  let highest = -1
  for (const id of ids.values()) highest = Math.max(highest, id)
  let length = 0
  for (const id of file.vocabulary.values()) length = Math.max(length, id + 1)
  let lowest = 0
  for (const score of file.scores?.values() ?? []) lowest = Math.min(lowest, score)
  const addedAt = new Map([...file.added.keys()].map((token) => [entry(ids, token), token]))

  const put = (token: string, id: number, score: number) => {
    ids.set(token, id)
    entries.set(token, { token, id, score })
    highest = Math.max(highest, id)
    length = Math.max(length, id + 1)
  }

  /** Gives the next places of a list to the added tokens that have their ids. */
  const passAdded = () => {
    for (let token = addedAt.get(length); token !== undefined; token = addedAt.get(length))
      put(token, length, lowest)
  }

  return {
    ids: ids as ReadonlyMap<string, number>,

    /** A new token of the vocabulary. */
    ordinary: (token: string, score = lowest): void => {
      if (ids.has(token)) return
      if (isList) passAdded()
      put(token, isList ? length : highest + 1, score)
    },

    /** An added token that some vocabulary has as well, so that merges may make it. */
    alsoOrdinary: (token: string): void => {
      wanted.add(token)
    },

    /** The id of an added token, which may be new. */
    added: (token: string): number => {
      const own = ids.get(token) ?? highest + 1
      ids.set(token, own)
      highest = Math.max(highest, own)
      addedAt.set(own, token)
      return own
    },

    /** What the vocabulary gets, in the order of ids, so that the library gives `added` the ids they have. */
    vocabulary: (added: ReadonlyArray<Added>): ReadonlyArray<Entry> => {
      const size = file.vocabulary.size + entries.size
      const has = (token: string) => file.vocabulary.has(token) || entries.has(token)
      if (isList) {
        if (!isKept(added, ids, has, length)) passAdded()
      } else {
        const kept = isKept(added, ids, has, size)
        for (const { content } of added) {
          if (!has(content) && (!kept || wanted.has(content))) put(content, entry(ids, content), lowest)
        }
      }
      return [...entries.values()].toSorted((a, b) => a.id - b.id)
    },
  }
}

/** Whether the library gives added tokens the ids they have, with a vocabulary of that size. */
const isKept = (
  added: ReadonlyArray<Added>,
  ids: ReadonlyMap<string, number>,
  has: (token: string) => boolean,
  size: number,
): boolean => {
  let next = size
  for (const { content } of added) {
    const id = entry(ids, content)
    if (has(content)) {
      if (id >= next) next = id + 1
      continue
    }
    if (id !== next) return false
    next += 1
  }
  return true
}
