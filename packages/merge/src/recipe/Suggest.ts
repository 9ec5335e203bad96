/** The nearest known word to a mistyped one. */
import { at, known } from "@hila/core/Lookup"

/** The candidate with the fewest edits, if they are few for its length; equal ones by the first. */
export const nearest = (word: string, candidates: Iterable<string>): string | undefined => {
  let best: string | undefined
  let least = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const edits = distance(plain(word), plain(candidate))
    if (edits < least) [best, least] = [candidate, edits]
  }
  return best
}

/** `, did you mean "x"?`, or the candidates where none is near. */
export const hint = (word: string, candidates: ReadonlyArray<string>): string => {
  const found = nearest(word, candidates)
  if (found !== undefined) return `, did you mean "${found}"?`
  return candidates.length === 0 ? "" : `; known: ${candidates.join(", ")}`
}

const plain = (word: string) => word.toLowerCase().replaceAll("-", "_")

/** Insertions, deletions and replacements that turn one word into the other (Levenshtein). */
const distance = (from: string, to: string): number => {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const replaced = known(row[j - 1]) + (from[i - 1] === to[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, known(row[j]) + 1, known(next[j - 1]) + 1))
    }
    row = next
  }
  return at(row, to.length)
}
