/**
 * The coefficients and masks of a merge, checked against its models and laid out by tensor.
 *
 * They belong to task vectors: the coefficient of a tensor's layer, and of its units, multiplies what the method leaves
 * of an expert's task vector; a mask says which of its elements there are at all.
 */
import { at, entry } from "@hila/core/Lookup"
import { type Checkpoint, LayerGroup, type Safetensors, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import type { UnitSpan } from "../engine/Method.ts"
import type { LayerWeights } from "../units/LayerWeights.ts"
import type { Mask } from "../units/Mask.ts"
import { MergeError, type RecipeError } from "../MergeError.ts"
import { definitions } from "../methods/registry.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import * as Slices from "../recipe/Slices.ts"
import { hint } from "../recipe/Suggest.ts"
import * as UnitCheck from "../units/UnitCheck.ts"
import * as UnitCoefficients from "../units/UnitCoefficients.ts"
import type { Companions } from "./Companions.ts"
import * as Overrides from "./Overrides.ts"

/** Coefficients and masks by tensor. */
export interface Tables {
  readonly spans: (name: string, shape: ReadonlyArray<number>) => ReadonlyArray<UnitSpan>
  /** One per model, or none at all. */
  readonly masks: (name: string) => ReadonlyArray<Safetensors.TensorInfo | undefined>
  readonly notes: ReadonlyArray<string>
}

const none: Tables = { spans: () => [], masks: () => [], notes: [] }

/** The tables of a merge whose result is like `base`; fails at the first that does not fit. */
export const of = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  base: Checkpoint.Checkpoint,
  companions: Companions,
): Effect.fn.Return<Tables, RecipeError> {
  const { layerWeights, mask, unitWeights } = companions
  const sources = sliced.slices.flatMap((slice) => slice.sources)
  const listedBase = sliced.slices.find((slice) => slice.base !== undefined && mask(slice.base) !== undefined)
  if (listedBase?.base !== undefined) {
    return yield* located.error(
      [...listedBase.base.path, "mask"],
      "the base has no task vector, so a mask of it has no meaning",
    )
  }
  const masks = sources.map(mask)
  const places: ReadonlyArray<Path> = [
    ...(layerWeights.length > 0 ? [["layer_weights"]] : []),
    ...(unitWeights.length > 0 ? [["unit_weights"]] : []),
    ...sources.flatMap((source) => (mask(source) === undefined ? [] : [[...source.path, "mask"]])),
  ]
  const [first] = places
  if (first === undefined) return none
  yield* checkUse(located, sliced, sources, first)

  const method = located.recipe.merge_method
  const said = <A, E extends { readonly message: string }>(path: Path, effect: Effect.Effect<A, E>) =>
    Effect.mapError(effect, (error) =>
      located.error(path, isMergeError(error) ? textOf(error) : error.message),
    )
  const names = [...base.tensors.keys()]
  const spansOf: Array<UnitCoefficients.SpansOf> = []
  for (const table of layerWeights) {
    yield* said(
      ["layer_weights"],
      checkLayers(method, table, [...base.tensors.keys()], names, sources.length),
    )
    const byGroup = new Map(table.rows.map(({ group, weights }) => [group, weights]))
    spansOf.push((name, shape) => [UnitCoefficients.whole(shape, entry(byGroup, LayerGroup.of(name)))])
  }
  for (const { residual, table } of unitWeights) {
    const rows = table.rows.map((row) => ({ name: `unit ${row.unit}`, weights: row.weights }))
    const input = "unit weights"
    yield* said(
      ["unit_weights"],
      UnitCoefficients.checkExperts(method, input, { ...table, rows }, sources.length),
    )
    const spans = Effect.gen(function* () {
      const { units } = yield* Unit.partition(base, table.scheme)
      const scheme = { expected: table.scheme, got: table.scheme }
      yield* UnitCheck.matches(method, input, scheme, table.rows, units)
      return yield* UnitCoefficients.spansOf(base, units, table, residual)
    })
    spansOf.push(yield* said(["unit_weights"], spans))
  }
  const unitsOf = new Map<Mask, ReadonlyArray<Unit.Unit>>()
  for (const [model, own] of masks.entries()) {
    if (own === undefined) continue
    const checked = Effect.gen(function* () {
      const { units } = yield* Unit.partition(base, own.scheme)
      unitsOf.set(own, units)
      const infos = names.map((name) => entry(base.tensors, name))
      yield* UnitCoefficients.checkMask(method, `mask ${model + 1}`, own, own.scheme, units, infos)
    })
    yield* said([...at(sources, model).path, "mask"], checked)
  }
  spansOf.push(UnitCoefficients.scalesOf(masks, (mask) => entry(unitsOf, mask)))
  return {
    spans: (name, shape) =>
      spansOf.flatMap((spans) => spans(name, shape)).filter(({ weights }) => weights.some((of) => of !== 1)),
    masks: (name) =>
      masks.every((own) => own?.tensors.has(name) !== true) ? [] : masks.map((own) => own?.tensors.get(name)),
    notes: notesOf(located, companions, masks),
  }
})

const isMergeError = (error: { readonly message: string }): error is MergeError =>
  "_tag" in error && error._tag === "MergeError"

const textOf = ({ input, problem, tensor }: MergeError) =>
  `${input}: ${tensor === undefined ? "" : `tensor ${tensor}: `}${problem}`

/** Tables need one set of whole models, a base, and a method that works on task vectors. */
const checkUse = Effect.fnUntraced(function* (
  { error, recipe }: Located,
  sliced: Slices.Sliced,
  sources: ReadonlyArray<Slices.Source>,
  at: Path,
) {
  const what = String(at.at(-1))
  if (sliced.slices.length !== 1 || sources.some(({ range }) => range !== undefined)) {
    return yield* error(at, `${what}: goes with whole models, not with slices of layers: give models`)
  }
  if (sliced.base === undefined) {
    return yield* error(at, `${what}: multiplies task vectors, which need a base: add base_model`)
  }
  if (!definitions[recipe.merge_method].taskVectors) {
    const known = Object.entries(definitions).flatMap(([name, { taskVectors }]) =>
      taskVectors ? [name] : [],
    )
    return yield* error(
      at,
      `${what}: ${recipe.merge_method} has no task vectors that it could weigh; methods that do: ${known.join(", ")}`,
    )
  }
})

/** A table must have one row for the group of every tensor, and none besides. */
const checkLayers = Effect.fnUntraced(function* (
  method: string,
  table: LayerWeights,
  stored: ReadonlyArray<string>,
  names: ReadonlyArray<string>,
  experts: number,
) {
  const input = "layer weights"
  const rows = table.rows.map((row) => ({ name: `group ${row.group}`, weights: row.weights }))
  yield* UnitCoefficients.checkExperts(method, input, { ...table, rows }, experts)
  const present = new Set(table.rows.map(({ group }) => group))
  const refuse = (problem: string) => new MergeError({ method, input, problem })
  const missing = names.map(LayerGroup.of).find((group) => !present.has(group))
  if (missing !== undefined) return yield* refuse(`there is no row for the group ${missing}`)
  const known = [...new Set(stored.map(LayerGroup.of))]
  const unknown = table.rows.find(({ group }) => !known.includes(group))
  if (unknown !== undefined) {
    return yield* refuse(`the models have no group "${unknown.group}"${hint(unknown.group, known)}`)
  }
  if (present.size !== table.rows.length) return yield* refuse("a group has two rows")
})

/** What the card says of the tables, which are no text of the recipe. */
const notesOf = (
  located: Located,
  { layerWeights, unitWeights }: Companions,
  masks: ReadonlyArray<Mask | undefined>,
): ReadonlyArray<string> => {
  const range = (rows: ReadonlyArray<{ readonly weights: ReadonlyArray<number> }>) => {
    const all = rows.flatMap(({ weights }) => weights)
    return `${Math.min(...all).toFixed(3)} to ${Math.max(...all).toFixed(3)}`
  }
  const kept = masks.flatMap((mask, model) => {
    if (mask === undefined) return []
    const size = mask.units.reduce((sum, unit) => sum + unit.size, 0)
    const share = mask.units.reduce((sum, unit) => sum + unit.kept, 0) / Math.max(size, 1)
    return [`model ${model + 1} keeps ${share.toFixed(3)}`]
  })
  const others = Overrides.methodsOf(located).filter((name) => !definitions[name].taskVectors)
  return [
    ...layerWeights.map(({ rows }) => `layer weights of ${rows.length} groups, ${range(rows)}`),
    ...unitWeights.map(
      ({ residual, table }) =>
        `unit weights (${table.meaning ?? "share"}) of ${table.rows.length} units by ${table.scheme}, ${range(table.rows)}; tensors outside of units: ${residual}`,
    ),
    ...(kept.length === 0 ? [] : [`masks: ${kept.join(", ")}`]),
    ...others.map((name) => `coefficients and masks have no effect where the method is ${name}`),
  ]
}
