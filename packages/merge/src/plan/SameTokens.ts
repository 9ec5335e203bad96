/**
 * Refuses recipes without a tokenizer rule whose models mean other tokens by the same ids: their rows would be mixed.
 */
import { entry } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import * as SameTokens from "../tokenizers/SameTokens.ts"
import type { Model } from "./Plan.ts"

/** What is to be told; fails where tokens differ, unless the recipe accepts it. */
export const check = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  models: ReadonlyMap<string, Model>,
  like: Model,
): Effect.fn.Return<ReadonlyArray<string>, RecipeError> {
  const first = Reference.text(like.reference)
  const places = placesOf(sliced)
  const order = [first, ...[...places.keys()].filter((name) => name !== first)]
  const { notes, refused } = yield* SameTokens.among(
    order.map((name) => ({ name, checkpoint: entry(models, name).original })),
  )
  if (refused === undefined) return notes
  if (located.recipe.accept?.includes("tokens") === true)
    return [...notes, `accepted: ${refused.problem}; their rows are merged as they lie`]
  const problem = `${refused.problem}: their rows would be mixed. tokenizer_source: union (or base) moves rows by token; accept: [tokens] merges them as they lie`
  return yield* located.error(entry(places, refused.name), problem)
})

/** Models whose vocabulary counts, with their places: embeddings are the first slice's, heads the last one's. */
const placesOf = ({ base, slices }: Slices.Sliced): ReadonlyMap<string, Path> => {
  const places = new Map<string, Path>()
  for (const slice of [slices[0], slices.at(-1)]) {
    if (slice === undefined) continue
    for (const { path, reference } of Slices.everySource(slice)) places.set(Reference.text(reference), path)
  }
  if (base !== undefined) places.set(Reference.text(base), ["base_model"])
  return places
}
