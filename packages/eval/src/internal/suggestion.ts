/** Finds the name a user probably meant. */
import { known, last } from "@hila/core/Lookup"

/** Edit distance (Levenshtein, 1966), one row of the table at a time. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (const [i, x] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, y] of [...b].entries()) {
      next.push(Math.min(known(row[j]) + (x === y ? 0 : 1), known(row[j + 1]) + 1, known(next[j]) + 1))
    }
    row = next
  }
  return last(row)
}

/** The known name within a third of the letters, if there is one. */
export const nearest = (name: string, known: ReadonlyArray<string>): string | undefined => {
  const [best] = known
    .map((candidate) => ({ candidate, edits: distance(name, candidate) }))
    .toSorted((a, b) => a.edits - b.edits)
  return best !== undefined && best.edits <= Math.max(1, name.length / 3) ? best.candidate : undefined
}
