/**
 * One merge of the benchmark's models: `once.ts <method> <directory> <threads, or ""> <engine | command>`; tells its parent
 * what it took. `engine` reads, computes and writes; `command` is all that `hila merge` does with a recipe.
 */
import { Engine } from "@hila/merge"
import { mergePrepared, preflight, Prepared } from "@hila/merge/Recipe"
import type { AnyMethod } from "@hila/merge/engine/Method"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"

const files: Readonly<Record<string, string>> = {
  linear: "Linear",
  task_arithmetic: "TaskArithmetic",
  ties: "Ties",
  dare_ties: "DareTies",
  della: "Della",
  sce: "Sce",
  slerp: "Slerp",
}

const weight = [0.5, 0.3, 0.2]
const sum = { weight, lambda: 1, elect: "weighted", seed: 1 }
const density = [0.5, 0.5, 0.5]
const params: Readonly<Record<string, unknown>> = {
  linear: { weight, normalize: true },
  task_arithmetic: { ...sum, normalize: false },
  ties: { ...sum, normalize: true, density, rescale: "none", scope: "tensor", zero_vote: "positive" },
  dare_ties: { ...sum, normalize: false, density, rescale: "l1" },
  della: { ...sum, normalize: true, density, epsilon: [0.15, 0.15, 0.15], rescale: "l1" },
  sce: { select_topk: 0.5 },
  slerp: { t: 0.4 },
}

const models = (name: string) => (name === "slerp" ? ["a"] : ["a", "b", "c"])

/** The recipe of the same merge: numbers per model are a value of each model's. */
const recipeOf = (name: string): string => {
  const own = Object.entries(params[name] as Readonly<Record<string, unknown>>)
  const of = (index: number) =>
    Object.fromEntries(
      own.flatMap(([key, value]) => (Array.isArray(value) ? [[key, (value as Array<unknown>)[index]]] : [])),
    )
  return JSON.stringify({
    merge_method: name,
    ...(name === "linear" ? {} : { base_model: "base" }),
    models: models(name).map((model, index) => ({ model, parameters: of(index) })),
    parameters: Object.fromEntries(own.filter(([key, value]) => key !== "seed" && !Array.isArray(value))),
    seed: 1,
  })
}

/** The merge and nothing else, by planned tensors; gives the memory it is stated to take. */
const engine = Effect.fnUntraced(function* (name: string, directory: string, options: Engine.Options) {
  const module: { readonly method: AnyMethod } = yield* Effect.promise(
    () => import(`@hila/merge/methods/${files[name]}`),
  )
  const open = (model: string) => Checkpoint.open(join(directory, model))
  const base = yield* open("base")
  const experts = yield* Effect.forEach(models(name), open)
  const tensors = [...base.tensors.values()].map((info) => ({
    name: info.name,
    dtype: info.dtype,
    shape: info.shape,
    method: module.method,
    params: params[name],
    base: name === "linear" ? undefined : info,
    models: experts.map((expert) => expert.tensors.get(info.name)!),
  }))
  const merged = join(directory, "merged")
  yield* Engine.write(merged, { method: name, tensors, files: base.files, ...options })
  return Engine.memoryBound(tensors, options)
})

/** Pre-flight, digests, merge, post-flight and card. */
const command = Effect.fnUntraced(function* (name: string, directory: string, options: Engine.Options) {
  const prepared = yield* Prepared.fromText(recipeOf(name), name, directory)
  yield* mergePrepared(prepared, join(directory, "merged"), options)
  return (yield* preflight(prepared, undefined, options)).memoryBytes
})

const program = Effect.gen(function* () {
  const [name = "", directory = "", threads = "", what = ""] = process.argv.slice(2)
  const options = threads === "" ? {} : { threads: Number(threads) }
  const bound = yield* (what === "command" ? command : engine)(name, directory, options)
  const { tensors } = yield* Checkpoint.open(join(directory, "base"))
  const size = [...tensors.values()].reduce((total, info) => total + info.byteLength, 0)
  const inputs = models(name).length + (name === "linear" ? 0 : 1)
  const { maxRSS, systemCPUTime, userCPUTime } = process.resourceUsage()
  const peak = maxRSS * 1024
  if (peak > bound) process.stdout.write(`peak ${peak} is above the stated bound ${bound}\n`)
  process.send?.({ bytes: (inputs + 1) * size, peak, bound, cpu: (userCPUTime + systemCPUTime) / 1e6 })
})

await Effect.runPromise(program)
