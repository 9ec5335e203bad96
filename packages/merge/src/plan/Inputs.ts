/**
 * The models of a recipe, opened: configs and headers, no weights.
 *
 * A path is taken from the recipe's directory or, where there is nothing, from the working directory; what is no
 * directory but looks like org/name is on the Hub, and only its headers are fetched before pre-flight has passed.
 */
import { known } from "@hila/core/Lookup"
import {
  Checkpoint,
  type CheckpointError,
  Hub,
  HubError,
  Misplaced,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import { readdir } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import type { RecipeError } from "../MergeError.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import { nearest } from "../recipe/Suggest.ts"
import * as Adapter from "../adapters/Adapter.ts"
import type { Model } from "./Plan.ts"
import * as Ties from "../names/Ties.ts"

/** Opens every model a recipe names, each once; `directory` is the recipe's. */
export const open = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  directory: string,
): Effect.fn.Return<ReadonlyMap<string, Model>, RecipeError | HubError | CheckpointError | SafetensorsError> {
  const models = new Map<string, Model>()
  const sources = sliced.slices.flatMap((slice) => [...Slices.everySource(slice)])
  const base = sliced.base === undefined ? [] : [{ path: ["base_model"], reference: sliced.base }]
  for (const { path, reference } of [...sources, ...base]) {
    const text = Reference.text(reference)
    if (!models.has(text)) models.set(text, yield* openModel(located, path, reference, directory))
  }
  return models
})

/** A model from a directory or, where there is none, its headers from the Hub; with the adapter it asks for. */
const openModel = Effect.fnUntraced(function* (
  located: Located,
  at: Path,
  reference: Reference.Reference,
  directory: string,
): Effect.fn.Return<Model, RecipeError | HubError | CheckpointError | SafetensorsError> {
  const { lora, path, revision } = reference
  const found = revision === undefined ? yield* locate(located, at, path, directory) : undefined
  const hub =
    found === undefined ? Hub.parse(revision === undefined ? path : `${path}@${revision}`) : undefined
  if (found === undefined && hub === undefined) {
    const looked = [...new Set([resolve(directory, path), resolve(path)])].join(" and ")
    return yield* located.error(
      at,
      `there is no directory ${path} (looked for ${looked})${parted(reference)}`,
    )
  }
  const original =
    found !== undefined
      ? yield* Checkpoint.open(found)
      : yield* fromHub(path, directory, needsFiles(located) ? Hub.open(known(hub)) : headers(known(hub)))
  const model: Model = { reference, checkpoint: original, original, directory: found, hub }
  if (lora === undefined) return model
  if (lora.revision !== undefined) {
    const problem = `an adapter is a directory, which has no revision: fetch ${lora.path} at ${lora.revision} and name its directory`
    return yield* located.error(at, problem)
  }
  const adapter = yield* locate(located, at, lora.path, directory)
  return adapter === undefined
    ? yield* located.error(
        at,
        `there is no directory ${lora.path} for the adapter: fetch it first${parted(reference)}`,
      )
    : { ...model, adapter: yield* Adapter.open(adapter, original) }
})

/** How to write a path that was taken apart. */
const parted = (reference: Reference.Reference): string => {
  const { lora, revision } = reference
  if (lora === undefined && revision === undefined) return ""
  const sign = lora === undefined ? "@ parts a revision" : "+ parts an adapter"
  const whole = Reference.text(reference)
  return `; ${sign} off: where ${whole} is one directory, write {model: {path: "${whole}"}}`
}

/** A model's headers, or all of it where only its values tell which tensors are copies of others. */
const headers = Effect.fnUntraced(function* (hub: Hub.Options) {
  const found = yield* Hub.inspect(hub)
  return (yield* Ties.candidates(found)).length === 0 ? found : yield* Hub.open(hub)
})

/** What cannot be had from the Hub may have been meant for a directory: the error says that there is none either. */
const fromHub = <A, E>(
  path: string,
  directory: string,
  asked: Effect.Effect<A, E>,
): Effect.Effect<A, E | HubError> =>
  asked.pipe(
    Effect.catch((error): Effect.Effect<never, E | HubError> => {
      if (!(error instanceof HubError)) return Effect.fail(error)
      const { blame, problem, source } = error
      return Effect.flatMap(besides(path, directory), (names) => {
        const meant = nearest(basename(path), names)
        const hint = meant === undefined ? "" : `, did you mean ${join(dirname(path), meant)}?`
        // It was asked of the Hub all the same, for a revision.
        const here = names.includes(basename(path))
          ? `${path} is a directory here, which has no revision`
          : `nor is there a directory ${path}${hint}`
        return Effect.fail(new HubError({ source, problem: `${problem}; ${here}`, blame }))
      })
    }),
  )

/** The names beside a path, from the recipe's directory or the working directory. */
const besides = (path: string, directory: string) =>
  Effect.promise(async () => {
    const places = [resolve(directory, path), resolve(path)].map(dirname)
    return (await Promise.all(places.map((place) => readdir(place).catch(() => [])))).flat()
  })

/** Whether pre-flight itself reads more of a model than its headers: vocabularies and templates. */
const needsFiles = ({ recipe }: Located) =>
  recipe.tokenizer != null || recipe.tokenizer_source != null || recipe.chat_template === "auto"

/** The directory of a model, if there is one. */
const locate = Effect.fnUntraced(function* (located: Located, at: Path, path: string, directory: string) {
  const candidates = [...new Set([resolve(directory, path), resolve(path)])]
  for (const candidate of candidates) {
    const names = yield* Effect.promise(() => readdir(candidate).catch(() => undefined))
    if (names === undefined) {
      const file = yield* Effect.promise(() => Misplaced.ofFile(candidate))
      if (file !== undefined) return yield* located.error(at, `${path} ${file}`)
      continue
    }
    const pickle = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name))
    if (pickle !== undefined && !names.some((name) => name.endsWith(".safetensors"))) {
      return yield* located.error(
        at,
        `${path} has its weights in ${pickle}, a PyTorch file, which runs code when it is read: convert it to safetensors`,
      )
    }
    return candidate
  }
  return undefined
})
