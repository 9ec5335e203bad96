/**
 * Merging by a recipe: pre-flight, the streaming engine, post-flight, and a directory that appears complete or not at
 * all.
 */
import { type ArchitectureError, type Checkpoint, CheckpointError, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdir, statfs, writeFile } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import * as Engine from "../engine/Engine.ts"
import type { TensorPlan } from "../engine/Plan.ts"
import { type EngineError, MergeError } from "../MergeError.ts"
import { definitions } from "../methods/registry.ts"
import * as Card from "../postflight/Card.ts"
import * as Check from "../postflight/Check.ts"
import * as Digest from "../postflight/Digest.ts"
import * as Config from "../preflight/Config.ts"
import type { OutputTensor } from "../preflight/Plan.ts"
import * as Prepared from "../preflight/Prepared.ts"
import * as Report from "../preflight/Report.ts"
import * as Reference from "./Reference.ts"
import * as TensorName from "./TensorName.ts"
import { version } from "./version.ts"

/** How a recipe is carried out; the weights do not depend on it. */
export interface Options extends Engine.Options {
  /** Whether the card names the inputs by the sha256 of their files, which costs one more reading; true by default. */
  readonly digests?: boolean | undefined
  /** Bytes that are free where a directory will be; asked of the file system by default. */
  readonly freeBytes?: ((directory: string) => Promise<number>) | undefined
  /** Called with the pre-flight report before a weight is read. */
  readonly onReport?: ((report: Report.Report) => void) | undefined
}

/** Everything a merge by recipe can fail with. */
export type RecipeMergeError =
  | Prepared.PrepareError
  | EngineError
  | CheckpointError
  | SafetensorsError
  | ArchitectureError

/** Merges by the recipe in a file and writes the checkpoint into `directory`, which must be new or empty. */
export const mergeRecipe = Effect.fn("mergeRecipe")(function* (
  recipe: string,
  directory: string,
  options: Options = {},
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError> {
  return yield* mergePrepared(yield* Prepared.fromFile(recipe), directory, options)
})

/** Carries out a prepared recipe. */
export const mergePrepared = Effect.fnUntraced(function* (
  prepared: Prepared.Prepared,
  directory: string,
  options: Options = {},
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError> {
  const tensors = prepared.tensors.map(planOf)
  const report = reportOf(prepared, options)
  yield* checkPlace(directory, report.diskBytes, options)
  yield* Effect.sync(() => options.onReport?.(report))
  const { recipe } = prepared.located
  const config = configOf(prepared)
  const replaced = ["README.md", ...(config === undefined ? [] : ["config.json"])]
  const files = Object.fromEntries(
    Object.entries(prepared.like.checkpoint.files).filter(([name]) => !replaced.includes(name)),
  )
  const inputs = yield* inputsOf(prepared, options.digests ?? true)
  const card = Card.render({
    name: basename(resolve(directory)),
    recipe: prepared.located.text,
    seed: recipe.seed ?? 0,
    profile: recipe.profile ?? "tool",
    versions: { hila: version, node: process.versions.node },
    inputs,
    report,
  })
  return yield* Engine.write<RecipeMergeError, never>(directory, {
    ...options,
    method: recipe.merge_method,
    tensors,
    files,
    finish: (path) =>
      Effect.gen(function* () {
        yield* put(path, "README.md", card)
        if (config !== undefined) yield* put(path, "config.json", `${JSON.stringify(config, null, 2)}\n`)
        yield* Check.check(path, prepared.tensors)
      }),
  })
})

/** The pre-flight report of a prepared recipe. */
export const reportOf = (prepared: Prepared.Prepared, options: Engine.Options = {}): Report.Report =>
  Report.of(prepared, Engine.memoryBound(prepared.tensors.map(planOf), options))

/** A tensor as the engine wants it. */
const planOf = ({ base, dtype, method, models, name, shape, units, values }: OutputTensor): TensorPlan => {
  const spec = { name, dtype, shape }
  return method === undefined
    ? { ...spec, models: [base ?? models[0]!] }
    : { ...spec, method: definitions[method].method(values), params: values, base, models, units }
}

const configOf = ({ like, located, sliced, tensors }: Prepared.Prepared) => {
  const { dtype, out_dtype } = located.recipe
  const stacked = sliced.slices.some(({ sources }) => sources.some(({ range }) => range !== undefined))
  return Config.changed(like.checkpoint.config, {
    dtype: out_dtype ?? dtype ?? undefined,
    layers: stacked ? TensorName.layersOf(tensors.map(({ name }) => name)) : undefined,
    vocabulary: undefined,
  })
}

const inputsOf = ({ models, sliced }: Prepared.Prepared, digests: boolean) => {
  const base = sliced.base === undefined ? undefined : Reference.text(sliced.base)
  return Effect.forEach(models, ([model, { checkpoint }]) =>
    Effect.map(digests ? Digest.ofWeights(checkpoint) : Effect.succeed({}), (found) => ({
      role: model === base ? "base" : "model",
      model,
      digests: found,
    })),
  )
}

const attempt = <A>(path: string, call: () => Promise<A>) =>
  Effect.tryPromise({
    try: call,
    catch: (cause) =>
      new CheckpointError({
        path,
        problem: cause instanceof Error ? cause.message : String(cause),
        blame: "system",
      }),
  })

const put = (directory: string, name: string, text: string) =>
  attempt(directory, () => writeFile(join(directory, name), text))

/** The output directory must be free, and its disk must hold the result. */
const checkPlace = Effect.fnUntraced(function* (
  directory: string,
  needed: number,
  { freeBytes = free }: Options,
) {
  const path = resolve(directory)
  const names = yield* Effect.promise(() =>
    readdir(path).catch((cause: NodeJS.ErrnoException) =>
      cause.code === "ENOENT" ? [] : [cause.code ?? ""],
    ),
  )
  if (names.length > 0) {
    const problem = `is not empty (it has ${names[0]}): name a new directory, or empty this one`
    return yield* new CheckpointError({ path, problem, blame: "input" })
  }
  const left = yield* attempt(path, () => freeBytes(path))
  if (left < needed) {
    const problem = `the disk of ${path} is too small: the result needs ${Report.bytesText(needed)}, free are ${Report.bytesText(left)}`
    return yield* new MergeError({ method: "merge", input: "output", problem })
  }
})

/** Bytes free for this user where a directory is or will be. */
const free = async (directory: string): Promise<number> => {
  try {
    const { bavail, bsize } = await statfs(directory)
    return bavail * bsize
  } catch (cause) {
    const parent = dirname(directory)
    if (parent === directory) throw cause
    return free(parent)
  }
}
