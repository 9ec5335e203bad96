/**
 * What holds for a tensor where the recipe differs by filter: its method, its values, and its coefficients by head.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { UnitSpan } from "../engine/Method.ts"
import type { RecipeError } from "../MergeError.ts"
import { type Definition, numbers, type Values } from "../methods/Definition.ts"
import type { Name } from "../methods/names.ts"
import { definitions } from "../methods/registry.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import type { Filter } from "../recipe/RecipeSchema.ts"
import * as Settings from "./Settings.ts"
import * as Slices from "../recipe/Slices.ts"
import type { Scope, Slice, Sliced } from "../recipe/Slices.ts"
import * as Value from "./Value.ts"
import type { Heads, Span } from "./Heads.ts"

interface Place {
  readonly subject: Value.Subject
  readonly slice: Slice
  readonly reference: string
}

const entriesOf = ({ recipe }: Located) =>
  (recipe.methods ?? []).map(({ filter, merge_method, parameters }, index) => ({
    filter,
    name: merge_method,
    path: ["methods", index] as Path,
    scope: parameters == null ? undefined : { parameters, path: ["methods", index, "parameters"] },
  }))

/** The methods a recipe uses. */
export const methodsOf = ({ recipe }: Located): ReadonlyArray<Name> => [
  ...new Set([recipe.merge_method, ...(recipe.methods ?? []).map(({ merge_method }) => merge_method)]),
]

/** The method of a tensor. */
export const methodOf = (located: Located, subject: Value.Subject): Name =>
  entriesOf(located).find(({ filter }) => Value.matches(filter, subject))?.name ?? located.recipe.merge_method

/** The method of a tensor and its values. */
export const settings = Effect.fnUntraced(function* (
  { heads, located }: { readonly heads: Heads | undefined; readonly located: Located },
  { reference, slice, subject }: Place,
): Effect.fn.Return<
  { readonly name: Name; readonly values: Values; readonly units: ReadonlyArray<UnitSpan> },
  RecipeError
> {
  const entry = entriesOf(located).find(({ filter }) => Value.matches(filter, subject))
  const name = entry?.name ?? located.recipe.merge_method
  const surroundings = { located, name, override: entry?.scope, slice: Slices.viewOf(slice, name) }
  const spans = heads?.get(reference) ?? []
  const count = spans.reduce((most, span) => Math.max(most, ...span.heads), -1) + 1
  if (count === 0) return { name, values: yield* Settings.of(surroundings, subject), units: [] }
  const byHead = yield* Effect.forEach(Array.from({ length: count }), (_, head) =>
    Settings.of(surroundings, { ...subject, head }),
  )
  const [first] = byHead
  const texts = byHead.map((values) => JSON.stringify(values))
  if (first === undefined || texts.every((text) => text === texts[0]))
    return { name, values: first ?? {}, units: [] }
  const problem = headProblem(definitions[name], byHead)
  if (problem !== undefined)
    return yield* located.error(
      entry?.scope?.path ?? ["merge_method"],
      `${name}: ${problem} (tensor ${subject.tensor})`,
    )
  const units: Array<UnitSpan> = []
  for (const span of spans) units.push(yield* unitOf(located, span, byHead, subject))
  return { name, values: { ...first, weight: numbers(first, "weight").map(() => 1) }, units }
})

const unitOf = (
  { error }: Located,
  { axis, end, heads, start }: Span,
  byHead: ReadonlyArray<Values>,
  subject: Value.Subject,
) => {
  const weights = heads.map((head) => numbers(at(byHead, head), "weight"))
  const [first] = weights
  return weights.every((of) => of.join() === first?.join())
    ? Effect.succeed({ axis, start, end, weights: first ?? [] })
    : Effect.fail(
        error(
          ["merge_method"],
          `heads ${heads.join(", ")} share keys and values in ${subject.tensor}, but have different weights: give a group one weight, or exclude k_proj and v_proj by tensor`,
        ),
      )
}

const headProblem = (definition: Definition, byHead: ReadonlyArray<Values>): string | undefined => {
  if (!definition.taskVectors || !Object.hasOwn(definition.parameters, "weight")) {
    return "only weights of task vectors may differ between heads"
  }
  const rest = byHead.map((values) => JSON.stringify({ ...values, weight: undefined }))
  if (rest.some((text) => text !== rest[0])) return "only the weight may differ between heads"
  return byHead[0]?.["normalize"] === true
    ? "weights that differ between heads have no one sum to divide by: set normalize: false"
    : undefined
}

/** Every place with parameters. */
export const scopesOf = (located: Located, { slices }: Sliced): ReadonlyArray<Scope> => {
  const seen = new Map<string, Scope>()
  const all = [
    ...entriesOf(located).flatMap(({ scope }) => scope ?? []),
    ...slices.flatMap((slice) => [
      ...[...Slices.everySource(slice)].flatMap(({ scope }) => scope ?? []),
      ...slice.scopes,
    ]),
  ]
  for (const scope of all) seen.set(JSON.stringify(scope.path), scope)
  return [...seen.values()]
}

/** Whether some filter asks for heads. */
export const usesHeads = (located: Located, sliced: Sliced): boolean =>
  filtersOf(located, sliced).some(({ filter }) => typeof filter !== "string" && filter.head !== undefined)

const filtersOf = (
  located: Located,
  sliced: Sliced,
): ReadonlyArray<{ readonly filter: Filter; readonly path: Path; readonly method?: boolean }> => [
  ...entriesOf(located).map(({ filter, path }) => ({ filter, path: [...path, "filter"], method: true })),
  ...scopesOf(located, sliced).flatMap(({ parameters, path }) =>
    Object.entries(parameters).flatMap(([key, value]) => Value.filters(value, [...path, key])),
  ),
]

/** Fails at a filter that names no tensor of the result. */
export const checkFilters = Effect.fnUntraced(function* (
  located: Located,
  sliced: Sliced,
  subjects: ReadonlyArray<Value.Subject>,
  heads: Heads | undefined,
): Effect.fn.Return<void, RecipeError> {
  const most = Math.max(-1, ...[...(heads?.values() ?? [])].flat().flatMap((span) => span.heads))
  const parts = (subject: Value.Subject) =>
    Array.from({ length: most + 1 }, (_, head): Value.Subject => ({ ...subject, head }))
  for (const { filter, method, path } of filtersOf(located, sliced)) {
    const byHead = typeof filter !== "string" && filter.head !== undefined
    if (byHead && method === true) {
      return yield* located.error(
        path,
        "a method holds for whole tensors: filter it by tensor or layer, weights by head",
      )
    }
    const found = subjects.some((subject) =>
      byHead ? parts(subject).some((part) => Value.matches(filter, part)) : Value.matches(filter, subject),
    )
    if (found) continue
    const shown = typeof filter === "string" ? `"${filter}"` : JSON.stringify(filter)
    const example = subjects.find(({ layer }) => layer !== undefined) ?? subjects[0]
    return yield* located.error(
      path,
      `the filter ${shown} matches no tensor; a tensor is called, for example, ${example?.tensor ?? ""}`,
    )
  }
})

/** What is wrong with the number of models. */
export const countProblem = (name: Name, got: number): string => {
  const { base, models } = definitions[name]
  const [least, greatest] = models
  const expected =
    least === greatest ? `${least}` : greatest === Infinity ? `at least ${least}` : `${least} to ${greatest}`
  const besides =
    base === "none" ? "" : base === "required" ? " besides the base" : " (the base apart, where there is one)"
  return `${name} merges ${expected} model${expected === "1" ? "" : "s"}${besides}, got ${got}`
}

/** Fails where a method lacks its base or has too many or too few models. */
export const checkCounts = Effect.fnUntraced(function* (
  located: Located,
  { base, slices }: Sliced,
): Effect.fn.Return<void, RecipeError> {
  const places: ReadonlyArray<readonly [Name, Path]> = [
    [located.recipe.merge_method, ["merge_method"]],
    ...entriesOf(located).map(({ name, path }) => [name, [...path, "merge_method"]] as const),
  ]
  for (const [name, path] of places) {
    const definition = definitions[name]
    if (definition.base === "required" && base === undefined) {
      return yield* located.error(path, `${name} needs a base: add base_model`)
    }
    const [least, greatest] = definition.models
    const counts = slices.map((slice) => Slices.viewOf(slice, name).sources.length)
    const wrong = counts.find((count) => count < least || count > greatest)
    if (wrong !== undefined) return yield* located.error(path, countProblem(name, wrong))
  }
})
