/**
 * Reasons: why a stage has to run, by value.
 *
 * A miss is compared with the nearest earlier record of the same stage: the one with the fewest differing ingredients,
 * the latest of those. Comparing with the latest alone would blame a sibling call that merely ran last.
 */
import type { Action } from "./Action.ts"
import * as Canonical from "./Canonical.ts"
import * as Digest from "./Digest.ts"
import type { Ingredients } from "./Ingredients.ts"

/** Why a stage has to run. */
export type Reason =
  | { readonly _tag: "NeverRan" }
  | { readonly _tag: "VersionChanged"; readonly from: number; readonly to: number }
  | { readonly _tag: "ParamChanged"; readonly param: string; readonly from: unknown; readonly to: unknown }
  | {
      readonly _tag: "InputChanged"
      readonly input: string
      readonly from: string | ReadonlyArray<string> | undefined
      readonly to: string | ReadonlyArray<string> | undefined
    }
  | { readonly _tag: "OutputChanged"; readonly from: string; readonly to: string }
  | { readonly _tag: "OutputMissing"; readonly digest: string }

const same = (a: unknown, b: unknown): boolean => Canonical.stringify(a) === Canonical.stringify(b)

/** Every ingredient in which `now` differs from `was`. */
export const between = (now: Ingredients, was: Ingredients): ReadonlyArray<Reason> => {
  const reasons: Array<Reason> = []
  if (was.version !== now.version)
    reasons.push({ _tag: "VersionChanged", from: was.version, to: now.version })
  if (was.output !== now.output) reasons.push({ _tag: "OutputChanged", from: was.output, to: now.output })
  for (const param of namesOf(was.params, now.params)) {
    const [from, to] = [was.params[param], now.params[param]]
    if (!same(from, to)) reasons.push({ _tag: "ParamChanged", param, from, to })
  }
  for (const input of namesOf(was.inputs, now.inputs)) {
    const [from, to] = [was.inputs[input], now.inputs[input]]
    if (!same(from, to)) reasons.push({ _tag: "InputChanged", input, from, to })
  }
  return reasons
}

const namesOf = (a: object, b: object): Iterable<string> => new Set([...Object.keys(a), ...Object.keys(b)])

/** Why `now` misses, given the earlier records of its stage. */
export const explain = (now: Ingredients, history: ReadonlyArray<Action>): ReadonlyArray<Reason> => {
  const candidates = history
    .map((action) => ({ reasons: between(now, action.ingredients), started: action.started }))
    .filter(({ reasons }) => reasons.length > 0)
  const nearest = candidates.toSorted(
    (a, b) => a.reasons.length - b.reasons.length || (a.started < b.started ? 1 : -1),
  )[0]
  return nearest?.reasons ?? [{ _tag: "NeverRan" }]
}

const show = (value: unknown): string => {
  const text = value === undefined ? "(none)" : typeof value === "string" ? value : Canonical.stringify(value)
  return text.length > 48 ? `${text.slice(0, 45)}…` : text
}

const showDigest = (digest: string | ReadonlyArray<string> | undefined): string =>
  digest === undefined
    ? "(none)"
    : typeof digest === "string"
      ? Digest.short(digest)
      : `${digest.length} inputs`

const renderInput = ({ from, input, to }: Extract<Reason, { readonly _tag: "InputChanged" }>): string => {
  if (typeof from !== "object" || typeof to !== "object" || from.length !== to.length) {
    return `${input}: ${showDigest(from)} → ${showDigest(to)}`
  }
  const changed = to.flatMap((digest, index) => (digest === from[index] ? [] : [index]))
  return `${input}: ${changed.length} of ${to.length} changed`
}

/** One reason for people: `density: 0.4 → 0.3`. */
export const render = (reason: Reason): string => {
  switch (reason._tag) {
    case "NeverRan":
      return "never ran"
    case "VersionChanged":
      return `version: ${reason.from} → ${reason.to}`
    case "OutputChanged":
      return `output: ${reason.from} → ${reason.to}`
    case "ParamChanged":
      return `${reason.param}: ${show(reason.from)} → ${show(reason.to)}`
    case "InputChanged":
      return renderInput(reason)
    case "OutputMissing":
      return `its output ${Digest.short(reason.digest)} is missing from the store`
  }
}
