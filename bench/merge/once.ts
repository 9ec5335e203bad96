/** One merge of the benchmark's models: `once.ts <method> <directory> [threads]`; tells its parent what it took. */
import { Engine } from "@hila/merge"
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

const program = Effect.gen(function* () {
  const [name = "", directory = "", threads = ""] = process.argv.slice(2)
  const module: { readonly method: AnyMethod } = yield* Effect.promise(
    () => import(`@hila/merge/methods/${files[name]}`),
  )
  const open = (model: string) => Checkpoint.open(join(directory, model))
  const base = yield* open("base")
  const experts = yield* Effect.forEach(name === "slerp" ? ["a"] : ["a", "b", "c"], open)
  const tensors = [...base.tensors.values()].map((info) => ({
    name: info.name,
    dtype: info.dtype,
    shape: info.shape,
    method: module.method,
    params: params[name],
    base: name === "linear" ? undefined : info,
    models: experts.map((expert) => expert.tensors.get(info.name)!),
  }))
  const options = threads === "" ? {} : { threads: Number(threads) }
  const bound = Engine.memoryBound(tensors, options)
  const merged = join(directory, "merged")
  yield* Engine.write(merged, { method: name, tensors, files: base.files, ...options })
  const size = [...base.tensors.values()].reduce((total, info) => total + info.byteLength, 0)
  const inputs = experts.length + (name === "linear" ? 0 : 1)
  const { maxRSS, systemCPUTime, userCPUTime } = process.resourceUsage()
  const peak = maxRSS * 1024
  if (peak > bound) process.stdout.write(`peak ${peak} is above the stated bound ${bound}\n`)
  process.send?.({ bytes: (inputs + 1) * size, peak, cpu: (userCPUTime + systemCPUTime) / 1e6 })
})

await Effect.runPromise(program)
