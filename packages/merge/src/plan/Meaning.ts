/**
 * Whether tensors of equal names and shapes mean the same in all models of a merge.
 *
 * Where rows hold other things (other heads, units, kinds of layers), the merge is of neither model and refused; what a
 * fine-tune may change and a merge may survive (rotation for longer contexts, windows, ε) is told: the result computes with
 * the config it gets, the first model's. A user who knows better accepts it (`accept: [architecture]`), and everything is told.
 */
import { at } from "@hila/core/Lookup"
import { Architecture, type Checkpoint, type Stack } from "@hila/model"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Located } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import * as ConfigMeaning from "./ConfigMeaning.ts"
import type { Model } from "./Plan.ts"
import * as ShapeMeaning from "./ShapeMeaning.ts"

/** Something that two models do not mean alike. */
export interface Mismatch {
  readonly what: string
  readonly a: string
  readonly b: string
  readonly grave: boolean
}

const shapeOf = ({ config, tensors }: Checkpoint.Checkpoint): Effect.Effect<Stack | undefined> =>
  Architecture.resolve(config, tensors).pipe(
    Effect.catch(() => Architecture.resolveEncoder(config, tensors)),
    Effect.catch(() => Effect.succeed(undefined)),
  )

/** What `b` does not mean as `a`, grave ones first. */
export const mismatches = Effect.fnUntraced(function* (
  a: Checkpoint.Checkpoint,
  b: Checkpoint.Checkpoint,
): Effect.fn.Return<ReadonlyArray<Mismatch>> {
  const [first, second] = [yield* shapeOf(a), yield* shapeOf(b)]
  if (first === undefined || second === undefined) return ConfigMeaning.of(a.config, b.config)
  // Types of one computation, such as a Llama that is called a Mistral, are no fault.
  const [one, other] = [first.modelType, second.modelType]
  const type = one === other ? [] : [{ what: "model_type", a: one, b: other, grave: false }]
  return [...ShapeMeaning.of(first, second), ...type]
})

const show = ({ a, b, what }: Mismatch): string => `${what} ${b}, expected ${a}`

const refusalOf = (role: string, grave: ReadonlyArray<Mismatch>): string => {
  const shown = grave.slice(0, 3).map(show).join("; ")
  const more = grave.length > 3 ? `; and ${grave.length - 3} more` : ""
  return `its tensors have the shapes of ${role} but mean other things: ${shown}${more}`
}

/** What is said layer by layer: of slices each layer keeps its own, and layers that are merged are compared one by one. */
const byLayer =
  /(?:^|\.)(?:layer_types|layers_block_type|no_rope_layers|hybrid_override_pattern|sliding_window_pattern)$|^windows in layers$/

/** The notes on a recipe's models; fails where one means other things than the model that the result is like. */
export const ofRecipe = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  like: Model,
  models: ReadonlyMap<string, Model>,
): Effect.fn.Return<ReadonlyArray<string>, RecipeError> {
  const sources = sliced.slices.flatMap((slice) => [...Slices.everySource(slice)])
  const ranged = sources.some(({ range }) => range !== undefined)
  const notes: Array<string> = []
  const reference = Reference.text(like.reference)
  for (const [text, { original }] of models) {
    if (text === reference) continue
    const all = yield* mismatches(like.original, original)
    const found = ranged ? all.filter(({ what }) => !byLayer.test(what)) : all
    const grave = found.filter((each) => each.grave)
    if (grave.length > 0 && located.recipe.accept?.includes("architecture") !== true) {
      const source = sources.find((each) => Reference.text(each.reference) === text) ?? at(sources, 0)
      const onward = `accept: [architecture] (--accept architecture) merges them all the same, under the config of ${reference}`
      return yield* located.error(source.path, `${text}: ${refusalOf(reference, grave)}; ${onward}`)
    }
    notes.push(
      ...found.map((each) => `${text} has ${show(each)} as in ${reference}, whose config the result gets`),
    )
  }
  return notes
})
