/**
 * Trains a WordPiece vocabulary (Schuster & Nakajima, 2012; Wu et al., 2016) on texts, as uncased BERT reads them.
 *
 * Pieces are joined by frequency, the most frequent pair first, as current trainers do; equal pairs go by their text,
 * so the same texts give the same vocabulary. Encoding is the tokenizer's business, not this module's.
 */
import { entryOr, known } from "@hila/core/Lookup"

/** Tokens that stand for no text, in the order of their ids. */
export const specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] as const

/** Words of a text: lower case, without accents, punctuation and ideographs by themselves. */
export const words = (text: string): ReadonlyArray<string> =>
  text
    .normalize("NFD")
    .replaceAll(/\p{Mn}/gu, "")
    .toLowerCase()
    .replaceAll(/[\p{P}\p{S}\p{Script=Han}]/gu, " $& ")
    .split(/[\s\p{C}]+/u)
    .filter((word) => word !== "")

interface Word {
  readonly count: number
  pieces: ReadonlyArray<string>
}

const join = (left: string, right: string): string => left + right.replace(/^##/, "")

const separator = "\u0000"
const pairsOf = (pieces: ReadonlyArray<string>) =>
  pieces.slice(1).map((right, i) => `${pieces[i]}${separator}${right}`)

/** The most frequent pair, the first by text among equals; pairs below `least` are not worth a piece. */
const best = (counts: ReadonlyMap<string, number>, least: number): string | undefined => {
  let found: string | undefined
  let most = least - 1
  for (const [pair, count] of counts) {
    if (count > most || (count === most && found !== undefined && pair < found)) [found, most] = [pair, count]
  }
  return found
}

const joined = (pieces: ReadonlyArray<string>, left: string, right: string): ReadonlyArray<string> => {
  const out: Array<string> = []
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === left && pieces[i + 1] === right) {
      out.push(join(left, right))
      i++
    } else out.push(known(pieces[i]))
  }
  return out
}

/** At most `size` pieces, special tokens first, then characters, then joined pieces in the order they were joined. */
export const train = (
  texts: Iterable<string>,
  { least = 2, size }: { readonly size: number; readonly least?: number },
): ReadonlyArray<string> => {
  const frequency = new Map<string, number>()
  for (const text of texts)
    for (const word of words(text)) frequency.set(word, entryOr(frequency, word, 0) + 1)
  const all = [...frequency].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const list: Array<Word> = all.map(([word, count]) => ({
    count,
    pieces: [...word].map((character, i) => (i === 0 ? character : `##${character}`)),
  }))
  const characters = new Map<string, number>()
  for (const { count, pieces } of list) {
    for (const piece of pieces) characters.set(piece, entryOr(characters, piece, 0) + count)
  }
  const alphabet = [...characters]
    .filter(([, count]) => count >= least)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([piece]) => piece)
  const vocabulary = new Set<string>([...specials, ...alphabet])
  const counts = new Map<string, number>()
  const places = new Map<string, Set<Word>>()
  const account = (word: Word, sign: 1 | -1) => {
    for (const pair of pairsOf(word.pieces)) {
      counts.set(pair, entryOr(counts, pair, 0) + sign * word.count)
      const at = places.get(pair) ?? new Set()
      if (sign === 1) at.add(word)
      places.set(pair, at)
    }
  }
  for (const word of list) account(word, 1)
  while (vocabulary.size < size) {
    const pair = best(counts, least)
    if (pair === undefined) break
    const [left = "", right = ""] = pair.split(separator)
    for (const word of entryOr(places, pair, [])) {
      account(word, -1)
      word.pieces = joined(word.pieces, left, right)
      account(word, 1)
    }
    counts.delete(pair)
    places.delete(pair)
    vocabulary.add(join(left, right))
  }
  return [...vocabulary].slice(0, size)
}
