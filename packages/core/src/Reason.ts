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
  | {
      readonly _tag: "EnvironmentChanged"
      readonly service: string
      readonly from: string | undefined
      readonly to: string | undefined
    }
  | { readonly _tag: "OutputChanged"; readonly from: string; readonly to: string }
  | { readonly _tag: "OutputMissing"; readonly digest: string }
  | { readonly _tag: "OutputDamaged"; readonly digest: string }
  /** Its code is not the code that made the record; by itself no reason to run, except under `--strict`. */
  | { readonly _tag: "SourceDiffers"; readonly files: ReadonlyArray<string> }

const same = (a: unknown, b: unknown): boolean => Canonical.stringify(a) === Canonical.stringify(b)

const texts = new WeakMap<Ingredients, ReadonlyMap<string, string>>()

/** Every ingredient that can differ, as text; made once for each record, since a miss is compared with all of them. */
const textsOf = (ingredients: Ingredients): ReadonlyMap<string, string> => {
  const known = texts.get(ingredients)
  if (known !== undefined) return known
  const made = new Map([
    ["version", String(ingredients.version)],
    ["output", ingredients.output],
    ...(["params", "inputs", "environment"] as const).flatMap((part) => {
      const { [part]: own = {} } = ingredients
      return Object.entries(own).map(
        ([name, value]) => [`${part}.${name}`, Canonical.stringify(value)] as const,
      )
    }),
  ])
  texts.set(ingredients, made)
  return made
}

/** In how many ingredients two stage calls differ. */
const distance = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): number => {
  let count = 0
  for (const [name, text] of a) if (b.get(name) !== text) count++
  for (const name of b.keys()) if (!a.has(name)) count++
  return count
}

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
  const [before, after] = [was.environment ?? {}, now.environment ?? {}]
  for (const service of namesOf(before, after)) {
    const [from, to] = [before[service], after[service]]
    if (from !== to) reasons.push({ _tag: "EnvironmentChanged", service, from, to })
  }
  return reasons
}

const namesOf = (a: object, b: object): Iterable<string> => new Set([...Object.keys(a), ...Object.keys(b)])

/** The earlier record that differs least from `now`, the latest of those. */
export const nearest = (now: Ingredients, history: ReadonlyArray<Action>): Action | undefined => {
  const own = textsOf(now)
  let best: { readonly action: Action; readonly differences: number } | undefined
  for (const action of history) {
    const differences = distance(own, textsOf(action.ingredients))
    if (differences === 0) continue
    const isBetter =
      best === undefined ||
      differences < best.differences ||
      (differences === best.differences && action.started > best.action.started)
    if (isBetter) best = { action, differences }
  }
  return best?.action
}

/** Why `now` misses, given the earlier records of its stage. */
export const explain = (now: Ingredients, history: ReadonlyArray<Action>): ReadonlyArray<Reason> => {
  const closest = nearest(now, history)
  return closest === undefined ? [{ _tag: "NeverRan" }] : between(now, closest.ingredients)
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

const list = (files: ReadonlyArray<string>): string =>
  files.length <= 3 ? files.join(", ") : `${files.slice(0, 3).join(", ")} and ${files.length - 3} more`

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
    case "OutputDamaged":
      return `its output ${Digest.short(reason.digest)} is damaged in the store`
    case "EnvironmentChanged":
      return `${reason.service}: ${show(reason.from)} → ${show(reason.to)}`
    case "SourceDiffers":
      return `its code differs from the code that made it: ${list(reason.files)}`
  }
}
