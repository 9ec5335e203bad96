/**
 * Verifiers: which of an expert's answers are good enough to be golden data.
 *
 * Without one every answer counts that ended, right or wrong. Programs of one's own are a hook too: any function from
 * question and response to a verdict.
 */
import type { Question } from "@hila/model"
import * as Schema from "effect/Schema"

/** Looks at one answer. */
export type Verifier = (question: Question.Question, response: string) => boolean

/** The writing systems that `language` tells apart. */
export const scripts = [
  "Latin",
  "Han",
  "Cyrillic",
  "Arabic",
  "Devanagari",
  "Hangul",
  "Thai",
  "Greek",
  "Hebrew",
] as const

/** A verifier as a parameter of a stage. */
export const Spec = Schema.Union([
  /** The response, trimmed, is the question's answer. */
  Schema.Struct({ by: Schema.Literal("answer") }),
  /** The response matches a regular expression (JavaScript's, Unicode mode). */
  Schema.Struct({ by: Schema.Literal("regex"), pattern: Schema.String }),
  /** At least `share` of the response's letters are of a script; half of them by default. */
  Schema.Struct({
    by: Schema.Literal("script"),
    script: Schema.Literals(scripts),
    share: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
  }),
])
export type Spec = typeof Spec.Type

/** Share of a text's letters that are of a script, 0…1; 0 where it has no letters. */
export const shareOf = (text: string, script: (typeof scripts)[number]): number => {
  const letters = text.match(/\p{L}/gu) ?? []
  const own = new RegExp(`\\p{Script=${script}}`, "u")
  return letters.length === 0 ? 0 : letters.filter((letter) => own.test(letter)).length / letters.length
}

/** The verifier of a parameter; a pattern that is no regular expression verifies nothing and is told by `problem`. */
export const of = (spec: Spec): Verifier => {
  switch (spec.by) {
    case "answer":
      return ({ answer }, response) => response.trim() === answer.trim()
    case "regex": {
      const pattern = new RegExp(spec.pattern, "u")
      return (_, response) => pattern.test(response)
    }
    case "script":
      return (_, response) => shareOf(response, spec.script) >= (spec.share ?? 0.5)
  }
}

/** What is wrong with a verifier's parameter, or undefined. */
export const problem = (spec: Spec): string | undefined => {
  if (spec.by !== "regex") return undefined
  try {
    return new RegExp(spec.pattern, "u") instanceof RegExp ? undefined : "no pattern"
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}
