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
import { randomBytes } from "node:crypto"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { basename, join, resolve } from "node:path"
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
import * as Solve from "../solve/Solve.ts"
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
): Effect.fn.Return<Checkpoint.Checkpoint, RecipeMergeError> {
  const { recipe } = prepared.located
  const files = yield* Texts.filesOf(prepared)
  const texts = yield* Texts.textsOf(prepared, files)
  const card = yield* cardOf(prepared, report, directory, options)
  const written = { ...texts, ...(card === undefined ? {} : { "README.md": card }) }
  return yield* Engine.write<RecipeMergeError, never>(directory, {
    ...options,
    progress: (share) => options.onProgress?.("writing", share),
    method: recipe.merge_method,
    tensors: prepared.tensors.map(EngineTensor.of),
    files: Object.fromEntries(
      Object.entries(files).filter(
        ([name]) =>
          !Object.hasOwn(written, name) &&
          !(Object.hasOwn(texts, "chat_template.jinja") && ChatTemplate.isOther(name)),
      ),
    ),
    finish: (path) =>
      Effect.gen(function* () {
        for (const [name, text] of Object.entries(written))
          yield* Disk.attempt(path)(() => writeFile(join(path, name), text))
        yield* Check.check(path, prepared.tensors, prepared.like.original)
      }),
  })
})

/** What README.md says of the result; undefined where it is as the donor's. */
const cardOf = Effect.fnUntraced(function* (
  prepared: Prepared,
  report: Report,
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
    inputs: yield* Provenance.of(prepared, options),
    trainedOn,
    report,
  })
})
