/**
 * A model by its reference: a directory, a name on the Hub, or either with `+adapter`.
 *
 * A base with an adapter is written out as one checkpoint in float32, so that nothing of the adapter is rounded away,
 * into a temporary directory that goes with the scope.
 */
import { type Checkpoint, Hub } from "@hila/model"
import { mergePrepared, Prepared } from "@hila/merge/Recipe"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Downloads from "./Downloads.ts"

/** Whether a reference names an adapter: a path that is there as it stands does not. */
const hasAdapter = (reference: string): boolean => reference.includes("+", 1) && !existsSync(reference)

const temporary = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "hila-adapted-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true })),
)

const adapted = Effect.fnUntraced(function* (reference: string) {
  const recipe = JSON.stringify({
    merge_method: "passthrough",
    models: [{ model: reference }],
    dtype: "float32",
  })
  const prepared = yield* Prepared.fromText(recipe, reference, process.cwd())
  return yield* mergePrepared(prepared, join(yield* temporary, "model"), { digests: false })
})

/** Opens a checkpoint; downloads are shown on a terminal. */
export const opened = (reference: string) =>
  Downloads.shown(
    hasAdapter(reference)
      ? Effect.map(adapted(reference), (checkpoint): Checkpoint.Checkpoint => checkpoint)
      : Hub.model(reference),
  )
