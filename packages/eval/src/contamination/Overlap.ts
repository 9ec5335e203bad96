/**
 * Overlap: how much of a task's item stands word for word in texts a model may have seen.
 *
 * Texts are cut into words (runs of letters and digits, lower case; each character of Chinese, Japanese, Korean and
 * Thai is a word), and n-grams of words are compared, as in appendix C of "Language Models are Few-Shot Learners"
 * (Brown et al. 2020), which used 13. High overlap is evidence that an item was seen, not proof; low overlap does not
 * rule out a paraphrase.
 */
import { known } from "@hila/core/Lookup"

/** Words per n-gram. */
export const standardLength = 13

const wordPattern =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}]|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Thai}])[\p{L}\p{M}\p{N}])+/gu

/** The words of a text: lower case, compatibility forms folded, punctuation dropped. */
export const wordsOf = (text: string): ReadonlyArray<string> =>
  text.normalize("NFKC").toLowerCase().match(wordPattern) ?? []

/** The n-grams of some texts, by length; made by `index`, which keeps one 53-bit hash per n-gram. */
export interface Index {
  readonly length: number
  readonly has: (words: ReadonlyArray<string>, start: number, length: number) => boolean
}

/** Hash of words [start, start + length) in 53 bits (two FNV-1a streams); a false match has odds of about 1e-16 each. */
const hash = (words: ReadonlyArray<string>, start: number, length: number): number => {
  let low = 0x811c9dc5
  let high = 0x9747b28c
  for (let at = start; at < start + length; at++) {
    const word = known(words[at])
    for (let i = 0; i <= word.length; i++) {
      // The end of a word is hashed too, or "ab c" would be "a bc".
      const unit = i === word.length ? 0x1f : word.charCodeAt(i)
      low = Math.imul(low ^ unit, 0x01000193)
      high = Math.imul(high ^ unit, 0x85ebca6b) ^ (high >>> 13)
    }
  }
  return (high >>> 11) * 2 ** 32 + (low >>> 0)
}

/**
 * Indexes texts for items of any length: n-grams of `length` words, and for every shorter length in `shorter` (items
 * that have fewer words are looked for whole).
 */
export const index = (
  texts: Iterable<string>,
  length: number = standardLength,
  shorter: Iterable<number> = [],
): Index => {
  const lengths = new Set([length, ...shorter].filter((words) => words > 0 && words <= length))
  const bySize = new Map([...lengths].map((words) => [words, new Set<number>()] as const))
  for (const text of texts) {
    const words = wordsOf(text)
    for (const [size, hashes] of bySize) {
      for (let start = 0; start + size <= words.length; start++) hashes.add(hash(words, start, size))
    }
  }
  return { length, has: (words, start, size) => bySize.get(size)?.has(hash(words, start, size)) === true }
}

/** What of an item was found. */
export interface Found {
  /** N-grams of the item; 1 where it is shorter than an n-gram, 0 where it has no words. */
  readonly grams: number
  /** Of them, found in the texts. */
  readonly found: number
  /** found / grams, 0…1; 0 where the item has no words. */
  readonly share: number
}

/** Looks for an item's text in an index. */
export const of = (text: string, indexed: Index): Found => {
  const words = wordsOf(text)
  const size = Math.min(indexed.length, words.length)
  if (size === 0) return { grams: 0, found: 0, share: 0 }
  const grams = words.length - size + 1
  let found = 0
  for (let start = 0; start < grams; start++) if (indexed.has(words, start, size)) found++
  return { grams, found, share: found / grams }
}

/** Looks for many items in the same texts: one result each, in their order. */
export const ofItems = (
  items: ReadonlyArray<string>,
  texts: Iterable<string>,
  length: number = standardLength,
): ReadonlyArray<Found> => {
  const shorter = items.map((item) => wordsOf(item).length).filter((words) => words < length)
  const indexed = index(texts, length, shorter)
  return items.map((item) => of(item, indexed))
}
