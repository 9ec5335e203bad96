/** Finds the name a user probably meant. */
import { known } from "../Lookup.ts"

/** Edit distance (Levenshtein 1966): insertions, deletions and substitutions that turn one name into the other. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = known(row[j - 1]) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitution, known(row[j]) + 1, known(next[j - 1]) + 1))
    }
    row = next
  }
  return known(row[b.length])
}

/** The nearest of the known names, if it is near enough to be a slip of the finger. */
export const nearest = (name: string, known: ReadonlyArray<string>): string | undefined => {
  const [best] = known
    .map((candidate) => ({ candidate, edits: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((a, b) => a.edits - b.edits)
  return best !== undefined && best.edits <= Math.max(1, Math.floor(name.length / 3))
    ? best.candidate
    : undefined
}
