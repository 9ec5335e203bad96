/**
 * LoRA adapters of PEFT's, read so that they can be added to a model on the fly: `model+adapter` in a recipe.
 *
 *     W = W_0 + (alpha / rank) · B A      (alpha / √rank for rank-stabilised ones)
 *
 * Source: Hu et al. 2021 (arXiv 2106.09685), section 4.1; files as PEFT writes them. The result is what PEFT's
 * `merge_and_unload` makes of the model; what an adapter asks for is read or refused, never passed over.
 */
import { type Checkpoint, CheckpointError, Safetensors, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import * as AdapterConfig from "./AdapterConfig.ts"
import type { Change } from "./Change.ts"
import * as Changes from "./Changes.ts"
import * as Declared from "./Declared.ts"
import * as Modules from "./Modules.ts"
import * as Parts from "./Parts.ts"
import * as Stored from "./Stored.ts"

/** An adapter that fits a model. */
export interface Adapter {
  readonly path: string
  /** By the name of the tensor in the model. */
  readonly changes: ReadonlyMap<string, Change>
  readonly notes: ReadonlyArray<string>
}

/** The names of an adapter's files. */
export const files = { config: "adapter_config.json", weights: "adapter_model.safetensors" } as const

/** Opens the adapter in a directory and checks that it fits `model`: headers, no weights. */
export const open = Effect.fnUntraced(function* (
  directory: string,
  model: Checkpoint.Checkpoint,
): Effect.fn.Return<Adapter, CheckpointError | SafetensorsError> {
  const error = ({ problem, tensor }: Parts.PartProblem) =>
    new CheckpointError({
      path: directory,
      ...(tensor === undefined ? {} : { tensor }),
      problem,
      blame: "input",
    })
  const inConfig = (problem: string) =>
    new CheckpointError({ path: join(directory, files.config), problem, blame: "input" })
  const text = yield* Effect.tryPromise({
    try: () => readFile(join(directory, files.config), "utf8"),
    catch: () => error({ problem: `is no adapter: ${files.config} is missing` }),
  })
  const config = yield* Effect.mapError(AdapterConfig.parse(text), inConfig)
  const modules = yield* Effect.mapError(Modules.compile(config), inConfig)
  const { tensors } = yield* Safetensors.open(join(directory, files.weights))
  const parts = yield* Effect.mapError(Parts.of(tensors), error)
  const input = { config, model, modules, parts, stored: yield* Stored.of(model) }
  const changes = yield* Effect.catchIf(Changes.of(input), isPartProblem, (problem) =>
    Effect.fail(error(problem)),
  )
  const notes = yield* Effect.mapError(Declared.check(input, changes), inConfig)
  return { path: directory, changes, notes: [...config.notes, ...notes] }
})

const isPartProblem = (error: Parts.PartProblem | SafetensorsError): error is Parts.PartProblem =>
  !("_tag" in error)
