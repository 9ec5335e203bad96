/** The two files of an extracted adapter, as PEFT reads them, in a directory that appears complete or not at all. */
import { entry } from "@hila/core/Lookup"
import { type Checkpoint, CheckpointError, Dtype, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { mkdir, rename, rm, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { files } from "../adapters/Adapter.ts"
import type * as Stored from "../adapters/Stored.ts"

/** One layer's adapter: its rank, and ‖W_1 − W_0 − B A‖ / ‖W_1 − W_0‖. */
export interface Extracted {
  readonly tensor: string
  readonly rank: number
  readonly error: number
}

/** What an adapter says of the base it belongs to. */
export interface BaseName {
  /** The name on the Hub, or a path: `base_model_name_or_path`. */
  readonly baseName?: string | undefined
  readonly baseRevision?: string | undefined
}

/** A layer's factors, for what goes in and comes out of it however it is stored. */
export interface Factors extends Extracted {
  readonly kind: Stored.Kind
  readonly in: number
  readonly out: number
  readonly a: Float32Array // [rank, in]
  readonly b: Float32Array // [out, rank]
}

/** An adapter to be written. */
export interface Files {
  readonly base: Checkpoint.Checkpoint
  readonly layers: ReadonlyArray<Factors>
  readonly rank: number
  readonly stored: Stored.Stored
  readonly name: BaseName
}

/** Calls of the file system about the adapter's directory. */
export const attemptAt =
  (path: string) =>
  <A>(call: () => Promise<A>) =>
    Effect.tryPromise({
      try: call,
      catch: (cause) => {
        const code = cause instanceof Error && "code" in cause ? cause.code : undefined
        const taken = code === "ENOTEMPTY" || code === "EEXIST" || code === "ENOTDIR"
        const problem = taken ? "is not empty: name a new directory" : String(cause)
        return new CheckpointError({ path, problem, blame: taken ? "input" : "system" })
      },
    })

/** The name of the module that a weight belongs to. */
const moduleOf = (tensor: string) => tensor.replace(/\.weight$/, "")

const lastOf = (module: string) => module.slice(module.lastIndexOf(".") + 1)

/** Modules by their last names, or by whole names where a last name would mean others, too. */
const targetsOf = ({ base, layers, stored }: Files): ReadonlyArray<string> => {
  const named = (tensor: string) => moduleOf(stored.running(tensor))
  const chosen = new Set(layers.map(({ tensor }) => named(tensor)))
  const last = new Set([...chosen].map(lastOf))
  const others = [...base.tensors.values()]
    .filter(({ name, shape }) => shape.length >= 2 && name.endsWith(".weight"))
    .map(({ name }) => named(name))
    .filter((module) => last.has(lastOf(module)) && !chosen.has(module))
  return others.length === 0 ? [...last] : [...chosen]
}

const configOf = (adapter: Files) => {
  const { layers, name, rank, stored } = adapter
  return {
    peft_type: "LORA",
    task_type: stored.isDecoder ? "CAUSAL_LM" : null,
    base_model_name_or_path: name.baseName ?? null,
    revision: name.baseRevision ?? null,
    r: rank,
    lora_alpha: rank,
    lora_dropout: 0,
    bias: "none",
    fan_in_fan_out: layers.some(
      ({ kind, tensor }) => kind === "linear" && stored.transposed(tensor) === true,
    ),
    inference_mode: true,
    target_modules: targetsOf(adapter),
  }
}

/** Writes the files beside their place and renames them. */
export const write = Effect.fnUntraced(function* (directory: string, adapter: Files) {
  const path = resolve(directory)
  const temporary = `${path}.${process.pid}.tmp`
  const attempt = attemptAt(path)
  const data = new Map<string, Float32Array>()
  const tensors: Array<SafetensorsWriter.TensorSpec> = []
  for (const layer of adapter.layers) {
    const { a, b, kind, tensor } = layer
    const prefix = `base_model.model.${moduleOf(adapter.stored.running(tensor))}`
    const name = (half: "A" | "B") =>
      kind === "embedding" ? `${prefix}.lora_embedding_${half}` : `${prefix}.lora_${half}.weight`
    for (const [half, values, shape] of [
      ["A", a, [adapter.rank, layer.in]],
      ["B", b, [layer.out, adapter.rank]],
    ] as const) {
      data.set(name(half), values)
      tensors.push({ name: name(half), dtype: "F32", shape })
    }
  }
  const fill = Effect.gen(function* () {
    yield* attempt(() => mkdir(temporary, { recursive: true }))
    yield* attempt(() =>
      writeFile(join(temporary, files.config), `${JSON.stringify(configOf(adapter), null, 2)}\n`),
    )
    yield* SafetensorsWriter.write(join(temporary, files.weights), {
      metadata: { format: "pt" },
      tensors,
      data: ({ name }, put) => put(Dtype.fromFloat32(entry(data, name), "F32")),
    })
    yield* attempt(() => rename(temporary, path))
  })
  yield* Effect.onExit(fill, (exit) =>
    Exit.isSuccess(exit)
      ? Effect.void
      : Effect.ignore(attempt(() => rm(temporary, { recursive: true, force: true }))),
  )
})
