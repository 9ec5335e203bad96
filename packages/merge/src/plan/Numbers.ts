/**
 * Whether the tensors of a merge are numbers that may be computed with.
 *
 * Codes of quantised formats are refused before a weight is read. Integers have no mean: a tensor of them is copied, and
 * has to be the same in every model, which is found by reading these few bytes.
 */
import { entry } from "@hila/core/Lookup"
import { type Checkpoint, Dtype, Quantisation, Safetensors, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError, type RecipeError } from "../MergeError.ts"
import type { Located } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import type { Model } from "./Plan.ts"

/** Fails at the first model of a recipe that is quantised, at its place in the recipe. */
export const checkModels = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  models: ReadonlyMap<string, Model>,
): Effect.fn.Return<void, RecipeError> {
  for (const { path, reference } of sliced.slices.flatMap((slice) => [...Slices.everySource(slice)])) {
    const text = Reference.text(reference)
    const found = Quantisation.of(entry(models, text).original)
    if (found !== undefined) return yield* located.error(path, `${text} ${Quantisation.refusal(found)}`)
  }
})

/** What is to be said of configs that speak of a quantisation their tensors do not have. */
export const notesOf = (models: ReadonlyMap<string, Model>): ReadonlyArray<string> =>
  [...models].flatMap(([text, { original }]) =>
    Quantisation.declared(original.config).map(
      ({ path }) =>
        `${path.join(".")} in config.json of ${text} says that it is quantised, and its weights are plain numbers: merged as such, and the result has no such key`,
    ),
  )

/** Fails where a model given as a value is quantised; `input` is its role. */
export const checkModel = (
  method: string,
  input: string,
  checkpoint: Checkpoint.Checkpoint,
): Effect.Effect<void, MergeError> => {
  const found = Quantisation.of(checkpoint)
  return found === undefined
    ? Effect.void
    : Effect.fail(new MergeError({ method, input, problem: Quantisation.refusal(found) }))
}

/** Fails at the first tensor of integers that is not the same in all of its models. */
export const checkIntegers = Effect.fnUntraced(function* (
  method: string,
  tensors: Iterable<
    readonly [first: Safetensors.TensorInfo, ...others: ReadonlyArray<Safetensors.TensorInfo>]
  >,
): Effect.fn.Return<void, MergeError | SafetensorsError> {
  for (const [first, ...others] of tensors) {
    if (Dtype.isFloat(first.dtype)) continue
    for (const other of others) {
      if (yield* Safetensors.sameBytes(first, other)) continue
      return yield* new MergeError({
        method,
        input: "models",
        tensor: first.name,
        problem: `holds integers (${first.dtype}) that are not the same in ${first.file} and ${other.file}; they have no mean, and to copy one model's would mix it with weights of the others. Are they codes of quantised weights? Use full-precision models`,
      })
    }
  }
})
