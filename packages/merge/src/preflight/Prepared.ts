/**
 * A recipe made ready: read, its models opened, every tensor planned, nothing read or written yet.
 */
import type { CheckpointError, ArchitectureError, SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { MergeError, type RecipeError } from "../MergeError.ts"
import * as RecipeFile from "../recipe/RecipeFile.ts"
import * as Settings from "../recipe/Settings.ts"
import * as Slices from "../recipe/Slices.ts"
import * as Heads from "./Heads.ts"
import * as Inputs from "./Inputs.ts"
import * as Overrides from "./Overrides.ts"
import * as Plan from "./Plan.ts"

/** What a merge is going to do. */
export interface Prepared extends Plan.Input {
  readonly tensors: ReadonlyArray<Plan.OutputTensor>
  /** The model whose config, tokenizer and other files the result gets. */
  readonly like: Plan.Model
  /** What is accepted without effect. */
  readonly notes: ReadonlyArray<string>
}

/** Why a recipe cannot be made ready. */
export type PrepareError = RecipeError | MergeError | CheckpointError | SafetensorsError | ArchitectureError

/** Reads a recipe file and prepares it. */
export const fromFile = Effect.fnUntraced(function* (path: string): Effect.fn.Return<Prepared, PrepareError> {
  const file = resolve(path)
  const text = yield* Effect.tryPromise({
    try: () => readFile(file, "utf8"),
    catch: () =>
      new MergeError({
        method: "merge",
        input: path,
        problem: "there is no such recipe file, or it cannot be read",
      }),
  })
  return yield* fromText(text, path, dirname(file))
})

/** Prepares the text of a recipe; its relative paths start from `directory`, and `name` stands for it in errors. */
export const fromText = Effect.fnUntraced(function* (
  text: string,
  name: string,
  directory: string,
): Effect.fn.Return<Prepared, PrepareError> {
  const located = yield* RecipeFile.parse(text, name)
  const sliced = yield* Slices.of(located)
  const scopes = Overrides.scopesOf(located, sliced)
  const ignored = yield* Settings.checkNames(located, scopes, Overrides.methodsOf(located))
  yield* Overrides.checkCounts(located, sliced)
  const models = yield* Inputs.open(located, sliced, directory)
  const like = Plan.likeOf({ models, sliced })
  const heads = Overrides.usesHeads(located, sliced) ? yield* Heads.of(like.checkpoint) : undefined
  const input = { located, sliced, models, heads }
  const tensors = yield* Plan.make(input)
  return { ...input, tensors, like, notes: [...sliced.notes, ...ignored] }
})
