/**
 * Merging by a recipe: pre-flight, the streaming engine, post-flight, and a directory that appears complete or not at
 * all.
 */
import { at } from "@hila/core/Lookup"
import {
  type ArchitectureError,
  type Checkpoint,
  CheckpointError,
  Hub,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"
import { mkdir, readdir, readFile, rm, statfs, writeFile } from "node:fs/promises"
import { basename, dirname, join, resolve } from "node:path"
import * as Adapter from "../adapters/Adapter.ts"
import * as Engine from "../engine/Engine.ts"
import type { TensorPlan } from "../engine/Plan.ts"
import { type EngineError, MergeError } from "../MergeError.ts"
import { definitions } from "../methods/registry.ts"
import * as Card from "./Card.ts"
import * as Check from "./Check.ts"
import * as Digest from "./Digest.ts"
import * as TrainedOn from "./TrainedOn.ts"
import * as Carried from "../plan/Carried.ts"
import * as ChatTemplate from "../plan/ChatTemplate.ts"
import * as Config from "../plan/Config.ts"
import * as Numbers from "../plan/Numbers.ts"
import type { OutputTensor } from "../plan/Plan.ts"
import * as Prepared from "../plan/Prepared.ts"
import * as Realise from "../plan/Realise.ts"
import * as Report from "../plan/Report.ts"
import * as Solve from "../solve/Solve.ts"
import * as TokenizerFile from "../tokenizers/TokenizerFile.ts"
import type { Acceptable } from "../recipe/RecipeSchema.ts"
import * as Reference from "../recipe/Reference.ts"
import { version } from "./version.ts"

/** How a recipe is carried out; the weights do not depend on it. */
export interface Options extends Omit<Engine.Options, "progress"> {
  /** Whether the card tells all; else there is one only where the inputs name data sets, with these. True by default. */
  readonly card?: boolean | undefined
  /** Who merges, where a function is called by another name than its method's. */
  readonly caller?: string | undefined
  /** Whether the card names the inputs by the sha256 of their files, which costs one more reading; true by default. */
  readonly digests?: boolean | undefined
  /** Differences of meaning that are merged all the same, besides those the recipe accepts. */
  readonly accept?: ReadonlyArray<Acceptable> | undefined
  /** Bytes that are free where a directory will be; asked of the file system by default. */
  readonly freeBytes?: ((directory: string) => Promise<number>) | undefined
  /** Called with the pre-flight report before a weight is read. */
  readonly onReport?: ((report: Report.Report) => void) | undefined
  /** Told how far reading the inputs for their sha256 is, model by model, and then writing the result: shares, 0 to 1. */
  readonly onProgress?: ((phase: "hashing" | "writing", share: number) => void) | undefined
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
  const prepared = yield* Prepared.fromFile(recipe, options.accept)
  return yield* mergePrepared(prepared, directory, options)
})

/** The last of pre-flight: everything that can be refused before a weight is read, and the report. */
export const preflight = Effect.fnUntraced(function* (
  prepared: Prepared.Prepared,
  /** Where the result is to go, if that is known. */
  directory: string | undefined,
  options: Options = {},
): Effect.fn.Return<Report.Report, MergeError | CheckpointError | SafetensorsError> {
  // What is still on the Hub is compared when it is here.
  if ([...prepared.models.values()].every(({ hub }) => hub === undefined)) yield* checkIntegers(prepared)
  const problem = Solve.problemOf(prepared.tensors)
  if (problem !== undefined) {
    const method = prepared.located.recipe.merge_method
    return yield* new MergeError({ method, input: "statistics", problem })
  }
  const report = reportOf(prepared, options)
  const needed = report.diskBytes + Realise.bytesOf(prepared) + Solve.diskBytes(prepared.tensors)
  if (directory !== undefined) yield* checkPlace(directory, needed, options)
  return report
})

/** Carries out a prepared recipe. */
export const mergePrepared = Effect.fnUntraced(function* (
  prepared: Prepared.Prepared,
  directory: string,
  options: Options = {},
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError> {
  const report = yield* preflight(prepared, directory, options)
  yield* Effect.sync(() => options.onReport?.(report))
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const scratch = yield* scratchBeside(directory)
      const ready = yield* Realise.realise(prepared, scratch)
      if (ready !== prepared) yield* checkIntegers(ready)
      const { notes, tensors } = yield* Solve.realise(ready.tensors, scratch, options.threads)
      const told = { ...report, notes: [...report.notes, ...notes] }
      return yield* writeResult({ ...ready, tensors }, told, directory, options)
    }),
  )
})

const checkIntegers = ({ located, tensors }: Prepared.Prepared) =>
  Numbers.checkIntegers(
    located.recipe.merge_method,
    tensors.flatMap(({ base, method, models: [first, ...others] }) =>
      method !== undefined || first === undefined ? [] : [[base ?? first, first, ...others] as const],
    ),
  )

/** A directory for made tensors beside the result; named like the result's own temporary one, so it is cleared like it. */
const scratchBeside = (directory: string) => {
  const path = `${resolve(directory)}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`
  return Effect.acquireRelease(
    Effect.as(
      attempt(path, () => mkdir(path, { recursive: true })),
      path,
    ),
    () => Effect.ignore(attempt(path, () => rm(path, { recursive: true, force: true }))),
  )
}

const writeResult = Effect.fnUntraced(function* (
  prepared: Prepared.Prepared,
  report: Report.Report,
  directory: string,
  options: Options,
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError> {
  const { recipe } = prepared.located
  const files = yield* filesOf(prepared)
  const texts = yield* textsOf(prepared, files)
  const card = yield* cardOf(prepared, report, directory, options)
  const written = { ...texts, ...(card === undefined ? {} : { "README.md": card }) }
  return yield* Engine.write<RecipeMergeError, never>(directory, {
    ...options,
    progress: (share) => options.onProgress?.("writing", share),
    method: recipe.merge_method,
    tensors: prepared.tensors.map(planOf),
    files: Object.fromEntries(
      Object.entries(files).filter(
        ([name]) =>
          !Object.hasOwn(written, name) &&
          !(Object.hasOwn(texts, "chat_template.jinja") && ChatTemplate.isOther(name)),
      ),
    ),
    finish: (path) =>
      Effect.gen(function* () {
        for (const [name, text] of Object.entries(written)) yield* put(path, name, text)
        yield* Check.check(path, prepared.tensors, prepared.like.original)
      }),
  })
})

/** What README.md says of the result; undefined where it is as the donor's. */
const cardOf = Effect.fnUntraced(function* (
  prepared: Prepared.Prepared,
  report: Report.Report,
  directory: string,
  options: Options,
) {
  const { recipe, text } = prepared.located
  const trainedOn = yield* TrainedOn.of([...prepared.models.values()].map(({ original }) => original))
  if (options.card === false) {
    const names = options.caller ?? recipe.merge_method
    return trainedOn.length === 0 ? undefined : TrainedOn.card(names, trainedOn, prepared.models.size)
  }
  return Card.render({
    name: basename(resolve(directory)),
    recipe: text,
    seed: recipe.seed ?? 0,
    profile: recipe.profile ?? "tool",
    versions: { hila: version, node: process.versions.node },
    inputs: yield* inputsOf(prepared, options),
    trainedOn,
    report,
  })
})

/** The files that go with the weights: the donor's, with the tokenizer that the recipe chose. */
const filesOf = Effect.fnUntraced(function* ({ alignment, like }: Prepared.Prepared) {
  const { files } = yield* Carried.of(like)
  if (alignment === undefined) return files
  const others = Object.entries(files).filter(([name]) => !TokenizerFile.isTokenizerFile(name))
  return { ...Object.fromEntries(others), ...alignment.files }
})

/** Files whose text the merge makes, of those that go along. */
const textsOf = Effect.fnUntraced(function* (
  prepared: Prepared.Prepared,
  files: Readonly<Record<string, string>>,
) {
  const { alignment, chatTemplate } = prepared
  return {
    ...(yield* configsOf(prepared)),
    ...(alignment?.tokenizer === undefined ? {} : { "tokenizer.json": alignment.tokenizer }),
    ...(chatTemplate === undefined ? {} : yield* ChatTemplate.filesOf(chatTemplate, files)),
  }
})

/** The pre-flight report of a prepared recipe. */
export const reportOf = (prepared: Prepared.Prepared, options: Engine.Options = {}): Report.Report =>
  Report.of(
    prepared,
    Math.max(
      Engine.memoryBound(prepared.tensors.map(planOf), options),
      Solve.memoryBound(prepared.tensors, options.threads),
    ),
  )

/** A tensor as the engine wants it. */
const planOf = (tensor: OutputTensor): TensorPlan => {
  const { base, dtype, masks, method, models, name, shape, solved, statistics, units, values } = tensor
  const spec = { name, dtype, shape }
  if (solved !== undefined) {
    const params = { scale: [1] }
    return { ...spec, method: definitions.passthrough.method(params), params, models: [solved] }
  }
  // A sum without coefficients is one sweep, so an empty list is as good as none.
  const coefficients = units.length === 0 ? undefined : units
  return method === undefined
    ? { ...spec, models: [base ?? at(models, 0)] }
    : {
        ...spec,
        method: definitions[method].method(values),
        params: values,
        base,
        models,
        masks,
        units: coefficients,
        extras: statistics.elements,
      }
}

/** The configs that the merge changes. */
const configsOf = Effect.fnUntraced(function* (prepared: Prepared.Prepared) {
  const { alignment, like, located, restacked, specialIds, untied } = prepared
  const { dtype, out_dtype } = located.recipe
  const { config } = like.original
  const { "config.json": ids = [], ...others } = specialIds?.edits ?? {}
  const edits = [
    ...(untied ? Config.untied(config) : []),
    ...Config.plain(config),
    ...Config.edits(config, { dtype: out_dtype ?? dtype ?? undefined, vocabulary: alignment?.rows }),
    ...restacked.edits,
    ...ids,
  ]
  const texts: Record<string, string> = {}
  for (const [name, changes] of Object.entries({ ...others, "config.json": edits })) {
    const path = like.original.files[name]
    if (changes.length === 0 || path === undefined) continue
    texts[name] = Config.edited(yield* attempt(path, () => readFile(path, "utf8")), changes)
  }
  return texts
})

const inputsOf = Effect.fnUntraced(function* (
  { models, sliced }: Prepared.Prepared,
  { digests = true, onProgress }: Options,
) {
  const base = sliced.base === undefined ? undefined : Reference.text(sliced.base)
  return yield* Effect.forEach([...models], ([model, { adapter, directory, hub, original }], index) =>
    Effect.gen(function* () {
      if (digests) onProgress?.("hashing", index / models.size)
      const role = model === base ? "base" : "model"
      const repo = hub?.repo ?? (directory === undefined ? undefined : Hub.repoOf(directory))
      const input = { role, model, repo, isDirectory: directory !== undefined }
      if (!digests) return { ...input, digests: {} }
      const found = yield* Digest.ofWeights(original)
      if (adapter === undefined) return { ...input, digests: found }
      const added = yield* Effect.forEach(Object.values(Adapter.files), (name) =>
        Effect.map(Digest.ofFile(join(adapter.path, name)), (digest) => [name, digest] as const),
      )
      return { ...input, digests: { ...found, ...Object.fromEntries(added) } }
    }),
  )
})

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

const fullOf = ([name]: ReadonlyArray<string>): string | undefined =>
  name === undefined ? undefined : `is not empty (it has ${name}): name a new directory, or empty this one`

/** Why nothing can be written where a directory cannot be listed; a directory that is not there is made. */
const closedBy = ({ code, message }: NodeJS.ErrnoException): string | undefined => {
  if (code === "ENOENT") return undefined
  return code === "ENOTDIR"
    ? "is a file, or below one: name a new directory"
    : `cannot be written: ${message}`
}

/** The output directory must be free, and its disk must hold the result. */
const checkPlace = Effect.fnUntraced(function* (
  directory: string,
  needed: number,
  { freeBytes = free }: Options,
) {
  const path = resolve(directory)
  const problem = yield* Effect.promise(() => readdir(path).then(fullOf, closedBy))
  if (problem !== undefined) return yield* new CheckpointError({ path, problem, blame: "input" })
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
