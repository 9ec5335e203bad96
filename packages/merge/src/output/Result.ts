/**
 * Carrying out a merge that is ready: the streaming engine, post-flight, and a directory that appears complete or not at
 * all.
 */
import {
  type ArchitectureError,
  type Checkpoint,
  type CheckpointError,
  type SafetensorsError,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
import * as Digest from "../engine/Digest.ts"
import * as Disk from "../engine/Disk.ts"
import * as Engine from "../engine/Engine.ts"
import type { EngineError } from "../MergeError.ts"
import type { Options } from "../Options.ts"
import * as ChatTemplate from "../plan/ChatTemplate.ts"
import * as EngineTensor from "../plan/EngineTensor.ts"
import * as Preflight from "../plan/Preflight.ts"
import type { PrepareError, Prepared } from "../plan/Prepared.ts"
import * as Realise from "../plan/Realise.ts"
import type { Report } from "../plan/Report.ts"
import * as Solve from "../statistics/Solve.ts"
import * as Card from "./Card.ts"
import * as Check from "./Check.ts"
import * as Provenance from "./Provenance.ts"
import * as Texts from "./Texts.ts"
import * as TrainedOn from "./TrainedOn.ts"
import { version } from "./version.ts"

/** Everything a merge by recipe can fail with. */
export type RecipeMergeError =
  | PrepareError
  | EngineError
  | CheckpointError
  | SafetensorsError
  | ArchitectureError

/** Carries out a prepared recipe. */
export const mergePrepared = Effect.fnUntraced(function* (
  prepared: Prepared,
  directory: string,
  options: Options = {},
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError> {
  const report = yield* Preflight.preflight(prepared, directory, options)
  yield* Effect.sync(() => options.onReport?.(report))
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const scratch = yield* scratchBeside(directory)
      const ready = yield* Realise.realise(prepared, scratch)
      if (ready !== prepared) yield* Preflight.checkIntegers(ready)
      const { notes, tensors } = yield* Solve.realise(ready.tensors, scratch, options.threads)
      const told = { ...report, notes: [...report.notes, ...notes] }
      return yield* writeResult({ ...ready, tensors }, told, directory, options)
    }),
  )
})

/** A directory for made tensors beside the result; named like the result's own temporary one, so it is cleared like it. */
const scratchBeside = (directory: string) => {
  const path = `${resolve(directory)}.${process.pid}-${randomBytes(4).toString("hex")}.tmp`
  return Effect.acquireRelease(
    Effect.as(
      Disk.attempt(path)(() => mkdir(path, { recursive: true })),
      path,
    ),
    () => Effect.ignore(Disk.attempt(path)(() => rm(path, { recursive: true, force: true }))),
  )
}

const writeResult = Effect.fnUntraced(function* (
  prepared: Prepared,
  report: Report,
  directory: string,
  options: Options,
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError, Scope.Scope> {
  const { recipe } = prepared.located
  const files = yield* Texts.filesOf(prepared)
  const texts = yield* Texts.textsOf(prepared, files)
  const trainedOn = yield* TrainedOn.of([...prepared.models.values()].map(({ original }) => original))
  const hasCard = options.card !== false || trainedOn.length > 0
  const hashing = yield* hashed(prepared, options)
  return yield* Engine.write<RecipeMergeError, never>(directory, {
    ...options,
    progress: (share) => options.onProgress?.("writing", share),
    method: recipe.merge_method,
    tensors: prepared.tensors.map(EngineTensor.of),
    files: Object.fromEntries(
      Object.entries(files).filter(
        ([name]) =>
          !Object.hasOwn(texts, name) &&
          !(hasCard && name === "README.md") &&
          !(Object.hasOwn(texts, "chat_template.jinja") && ChatTemplate.isOther(name)),
      ),
    ),
    finish: (path) =>
      Effect.gen(function* () {
        const digests = yield* hashing
        const card = hasCard
          ? {
              "README.md": yield* cardOf(
                prepared,
                report,
                basename(resolve(directory)),
                trainedOn,
                digests,
                options,
              ),
            }
          : {}
        for (const [name, text] of Object.entries({ ...texts, ...card }))
          yield* Disk.attempt(path)(() => writeFile(join(path, name), text))
        yield* Check.check(path, prepared.tensors, prepared.like.original)
      }),
  })
})

/** Begins to hash the inputs while they are merged; what is left of it is waited for, and told, where the result ends. */
const hashed = Effect.fnUntraced(function* (prepared: Prepared, options: Options) {
  if (options.card === false || options.digests === false) return Effect.succeed(undefined)
  const tell = { on: false }
  const fiber = yield* Effect.forkScoped(
    Digest.ofFiles(Provenance.paths(prepared), (share) => {
      if (tell.on) options.onProgress?.("hashing", share)
    }),
  )
  return Effect.suspend(() => {
    tell.on = true
    return Fiber.join(fiber)
  })
})

/** What README.md says of the result. */
const cardOf = Effect.fnUntraced(function* (
  prepared: Prepared,
  report: Report,
  name: string,
  trainedOn: ReadonlyArray<string>,
  digests: ReadonlyMap<string, string> | undefined,
  { caller, card }: Options,
): Effect.fn.Return<string> {
  const { recipe, text } = prepared.located
  if (card === false)
    return yield* TrainedOn.card(caller ?? recipe.merge_method, trainedOn, prepared.models.size)
  return Card.render({
    name,
    recipe: text,
    seed: recipe.seed ?? 0,
    profile: recipe.profile ?? "tool",
    versions: { hila: version, node: process.versions.node },
    inputs: Provenance.of(prepared, digests),
    trainedOn,
    report,
  })
})
