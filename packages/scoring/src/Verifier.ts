/**
 * Verifiers: which of an expert's answers are good enough to be golden data.
 *
 * Without one every answer counts that ended, right or wrong. Programs of one's own are a hook too: any function from
 * question and response to a verdict, and in pipelines any stage that gives verdicts (see `Stages.selected`), such as
 * unit tests in a sandbox.
 */
import type { Question } from "@hila/model"
import * as Schema from "effect/Schema"
import * as Language from "./Language.ts"

/** Looks at one answer. */
export type Verifier = (question: Question.Question, response: string) => boolean

/** A verifier as a parameter of a stage. */
export const Spec = Schema.Union([
  /**
   * The response, trimmed, is the question's answer; with `extract`, what a regular expression matches last in each of
   * them (its first group, if it has one), where it matches.
   */
  Schema.Struct({ by: Schema.Literal("answer"), extract: Schema.optionalKey(Schema.String) }),
  /** The response matches a regular expression (JavaScript's, Unicode mode). */
  Schema.Struct({ by: Schema.Literal("regex"), pattern: Schema.String }),
  /** At least `share` of the response's letters are of a script; half of them by default. */
  Schema.Struct({
    by: Schema.Literal("script"),
    script: Schema.Literals(Language.scripts),
    share: Schema.optionalKey(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))),
  }),
  /** The response is in a language (ISO 639-1); see `Language` for how it is told. */
  Schema.Struct({ by: Schema.Literal("language"), language: Schema.Literals(Language.languages) }),
])
export type Spec = typeof Spec.Type

/** What a pattern matches last in a text, or all of the text. */
const lastOf = (text: string, pattern: RegExp | undefined): string => {
  const found = pattern === undefined ? undefined : [...text.matchAll(pattern)].at(-1)
  return (found?.[1] ?? found?.[0] ?? text).trim()
}

/** The verifier of a parameter; a pattern that is no regular expression verifies nothing and is told by `problem`. */
export const of = (spec: Spec): Verifier => {
  switch (spec.by) {
    case "answer": {
      const pattern = spec.extract === undefined ? undefined : new RegExp(spec.extract, "gu")
      return ({ answer }, response) => lastOf(response, pattern) === lastOf(answer, pattern)
    }
    case "regex": {
      const pattern = new RegExp(spec.pattern, "u")
      return (_, response) => pattern.test(response)
    }
    case "script":
      return (_, response) => Language.shareOf(response, spec.script) >= (spec.share ?? 0.5)
    case "language":
      return (_, response) => Language.identify(response) === spec.language
  }
}

/** What is wrong with a verifier's parameter, or undefined. */
export const problem = (spec: Spec): string | undefined => {
  const pattern = spec.by === "regex" ? spec.pattern : spec.by === "answer" ? spec.extract : undefined
  if (pattern === undefined) return undefined
  try {
    return new RegExp(pattern, "u") instanceof RegExp ? undefined : "no pattern"
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}
