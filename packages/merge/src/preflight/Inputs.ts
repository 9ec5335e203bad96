/**
 * The models of a recipe, opened: configs and headers, no weights.
 *
 * A path is taken from the recipe's directory or, where there is nothing, from the working directory.
 */
import { Checkpoint, type CheckpointError, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdir } from "node:fs/promises"
import { resolve } from "node:path"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import type * as Slices from "../recipe/Slices.ts"
import type { Model } from "./Plan.ts"

/** Opens every model a recipe names, each once; `directory` is the recipe's. */
export const open = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  directory: string,
): Effect.fn.Return<ReadonlyMap<string, Model>, RecipeError | CheckpointError | SafetensorsError> {
  const models = new Map<string, Model>()
  for (const { base, sources } of sliced.slices) {
    for (const { path, reference } of base === undefined ? sources : [base, ...sources]) {
      const text = Reference.text(reference)
      if (models.has(text)) continue
      const found = yield* locate(located, path, reference.path, directory)
      models.set(text, { reference, checkpoint: yield* Checkpoint.open(found) })
    }
  }
  return models
})

/** The directory of a model. */
const locate = Effect.fnUntraced(function* (located: Located, at: Path, path: string, directory: string) {
  const candidates = [...new Set([resolve(directory, path), resolve(path)])]
  for (const candidate of candidates) {
    const names = yield* Effect.promise(() => readdir(candidate).catch(() => undefined))
    if (names === undefined) continue
    const pickle = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name))
    if (pickle !== undefined && !names.some((name) => name.endsWith(".safetensors"))) {
      return yield* located.error(
        at,
        `${path} has its weights in ${pickle}, a PyTorch file, which runs code when it is read: convert it to safetensors`,
      )
    }
    return candidate
  }
  return yield* located.error(at, `there is no directory ${path} (looked for ${candidates.join(" and ")})`)
})
