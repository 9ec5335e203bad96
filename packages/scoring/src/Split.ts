/**
 * Splits: disjoint parts of a set of questions, for scoring, tuning and reporting.
 *
 * Nothing is chosen by where a question stands in its file: a prompt's place is given by a hash of its text and the
 * seed. Equal prompts have one place, so no prompt is in two parts, whatever else the set holds: one that several domains
 * share counts in the first of them by name.
 */
import { Digest } from "@hila/core"
import { known } from "@hila/core/Lookup"
import type { Question } from "@hila/model"
import * as Effect from "effect/Effect"
import { ScoringError } from "./ScoringError.ts"

/** How many questions of each domain go into each part, in order: `{ score: 64, tune: 64, report: 64 }`. */
export type Sizes = Readonly<Record<string, number>>

/**
 * The questions of one part: of every domain the same number, in the order of their hashes; equal prompts count once.
 *
 * Fails where a domain has fewer distinct prompts than all parts together take.
 */
export const part = Effect.fn("Split.part")(function* (
  questions: ReadonlyArray<Question.Question>,
  sizes: Sizes,
  name: string,
  seed: number,
) {
  const names = Object.keys(sizes)
  const at = names.indexOf(name)
  if (at === -1) {
    return yield* new ScoringError({
      subject: "split",
      problem: `there is no part "${name}"; there are ${names.join(", ")}`,
    })
  }
  const before = names.slice(0, at).reduce((sum, other) => sum + known(sizes[other]), 0)
  const wanted = known(sizes[name])
  const total = names.reduce((sum, other) => sum + known(sizes[other]), 0)
  const chosen: Array<Question.Question> = []
  const home = new Map<string, string>()
  for (const { domain, prompt } of questions) {
    const other = home.get(prompt)
    if (other === undefined || domain < other) home.set(prompt, domain)
  }
  for (const [domain, all] of Map.groupBy(questions, (question) => question.domain)) {
    const own = all.filter(({ prompt }) => home.get(prompt) === domain)
    const distinct = [...new Map(own.map((question) => [question.prompt, question])).values()]
    if (distinct.length < total) {
      return yield* new ScoringError({
        subject: "split",
        problem: `${domain} has ${distinct.length} distinct prompts, the parts take ${total} (${names.map((other) => `${other} ${sizes[other]}`).join(", ")}); ask for less or give more`,
      })
    }
    const placed = distinct
      .map((question) => ({ question, place: Digest.of(`${seed} ${question.prompt}`) }))
      .toSorted((a, b) => (a.place < b.place ? -1 : 1))
    chosen.push(...placed.slice(before, before + wanted).map(({ question }) => question))
  }
  return chosen
})
