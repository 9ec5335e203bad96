/**
 * Which slices of a recipe make which module of the result.
 *
 * A recipe that names no module means all of them where it lists whole models, each with its own depth; its ranges of
 * layers are of the one stack of the text, and whatever else the models have is merged from the first slice.
 */
import { at, entry } from "@hila/core/Lookup"
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import { noLayer, type Part, type Slice, type Sliced, type Source } from "../recipe/Slices.ts"
import * as Sections from "./Sections.ts"
import * as Stacks from "./Stacks.ts"

/** The slices of a module. */
export interface Assignment {
  /** Of the model that leads the first slice. */
  readonly module: Stacks.Module
  readonly slices: ReadonlyArray<Slice>
  /** Whether they are ranges of its layers; else all of it comes from the one slice. */
  readonly ranged: boolean
  /** Where the recipe says so. */
  readonly path: Path
}

/** A model's tensors by module. */
export interface Layout {
  readonly checkpoint: Checkpoint.Checkpoint
  readonly names: ReadonlyArray<string>
  readonly stacks: Stacks.Stacks
}

/** What assignments are made from: a recipe and its opened models. */
export interface Input {
  readonly located: Located
  readonly sliced: Sliced
  readonly models: ReadonlyMap<string, { readonly checkpoint: Checkpoint.Checkpoint }>
}

/** The layout of a source's model. */
export type LayoutOf = (source: Pick<Source, "reference">) => Layout

/** The layouts of the models, each worked out once. */
export const layouts = ({ models }: Pick<Input, "models">): LayoutOf => {
  const found = new Map<string, Layout>()
  return ({ reference }) => {
    const text = Reference.text(reference)
    const before = found.get(text)
    if (before !== undefined) return before
    const { checkpoint } = entry(models, text)
    const names = [...checkpoint.tensors.keys()]
    const layout = { checkpoint, names, stacks: Stacks.of(names) }
    found.set(text, layout)
    return layout
  }
}

/** The source whose names and order a slice has. */
export const leading = ({ base, sources }: Slice): Source => base ?? at(sources, 0)

/** The same module in another model. */
export const moduleIn = ({ stacks }: Layout, module: Stacks.Module): Stacks.Module | undefined =>
  stacks.modules.find(({ container, name }) =>
    module.container === undefined ? name === module.name : container === module.container,
  )

/** How many layers a source's model has of a module. */
export const depthIn = (layout: Layout, module: Stacks.Module): number => {
  const own = moduleIn(layout, module)
  return own === undefined ? 0 : Sections.depthOf(layout.checkpoint.config, own)
}

/** The assignments of a recipe; fails where modules are left out, are not there, or cannot be told from one another. */
export const of = Effect.fnUntraced(function* (
  input: Input,
): Effect.fn.Return<ReadonlyArray<Assignment>, RecipeError> {
  const { located, sliced } = input
  const layoutOf = layouts(input)
  const found: Array<Assignment> = []
  for (const part of sliced.parts) {
    const { modules } = layoutOf(leading(at(part.slices, 0))).stacks
    const taken = part.module === undefined ? modules : [yield* named(located, part, modules)]
    found.push(...(yield* assigned(located, part, taken)))
  }
  const doubled = found.find(({ module }, index) =>
    found.some((other, before) => before < index && other.module.name === module.name),
  )
  if (doubled !== undefined) {
    return yield* located.error(doubled.path, `the module ${doubled.module.name} is named twice`)
  }
  const { modules } = layoutOf(leading(at(sliced.slices, 0))).stacks
  const left = modules.filter(({ name }) => !found.some(({ module }) => module.name === name))
  if (left.length > 0) {
    return yield* located.error(
      ["modules"],
      `modules leaves out ${left.map(({ name }) => name).join(", ")}, without which the result is no model: give each its models`,
    )
  }
  return found
})

const named = Effect.fnUntraced(function* (
  { errorAtKey }: Located,
  { module, path }: Part,
  modules: ReadonlyArray<Stacks.Module>,
) {
  const name = module ?? ""
  const found = Stacks.find(modules, name)
  if (found !== undefined) return found
  return yield* errorAtKey(path, `there is no module "${name}": the models have ${Stacks.listed(modules)}`)
})

const assigned = Effect.fnUntraced(function* (
  { error }: Located,
  { path, slices }: Part,
  modules: ReadonlyArray<Stacks.Module>,
): Effect.fn.Return<ReadonlyArray<Assignment>, RecipeError> {
  const first = at(slices, 0)
  const whole = (module: Stacks.Module) => ({ module, slices: [first], ranged: false, path })
  if (leading(first).range === undefined) return modules.map(whole)
  const main = Stacks.main(modules)
  if (main === undefined) {
    return yield* error(
      [...path, "slices"],
      `these models have several stacks of layers (${Stacks.listed(modules)}): say which the ranges are of, as in modules: {${modules.find(({ container }) => container !== undefined)?.name ?? ""}: {slices: …}}`,
    )
  }
  const empty = slices.find((slice) => leading(slice).range?.[1] === 0)
  // A module without layers may be written as slices of none, as the existing tool wants it.
  if (main.container === undefined && slices.length === 1 && empty !== undefined) return modules.map(whole)
  if (main.container !== undefined && empty !== undefined) {
    return yield* error([...leading(empty).path, "layer_range"], noLayer)
  }
  if (main.container === undefined) {
    return yield* error([...path, "slices"], `${main.name} has no layers to give ranges of: give models`)
  }
  return modules.map((module) => (module === main ? { module, slices, ranged: true, path } : whole(module)))
})
