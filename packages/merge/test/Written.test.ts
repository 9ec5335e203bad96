/**
 * The weights that every entry to merging writes, by the sha256 of the file, as they were before there was one entry.
 *
 * Results of stages are kept by content, so another byte here would have every later stage of every pipeline run again.
 * `npx vitest run test/Written.test.ts --update` writes the digests anew, where another result is meant.
 */
import { assert, describe, expect, it } from "@effect/vitest"
import { adaptiveWeights, type FuseParams, type Mask, prune, type PruneParams, Stages } from "@hila/merge"
import { merge, type MergeParams } from "@hila/merge/Recipe"
import { Stage } from "@hila/core"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { join } from "node:path"
import { bytesOf, micro, scratch, table } from "./support.ts"

const digestOf = (path: string) =>
  Effect.map(bytesOf(path), (bytes) => createHash("sha256").update(bytes).digest("hex"))

const inputs = Effect.gen(function* () {
  const base = yield* micro("base")
  const experts = [yield* micro("math"), yield* micro("code")]
  const importance = [yield* table(base, (unit) => unit % 7), yield* table(base, (unit) => (3 * unit) % 5)]
  return { base, experts, importance }
})

const pruning = { density: 0.4, dropFraction: 0.1, gamma: 1, rhoMin: 0.05 }

/** Masks of both experts; each draws by a seed of its own. */
const masksOf = Effect.fnUntraced(function* (params: Partial<PruneParams>) {
  const { base, experts, importance } = yield* inputs
  const directory = yield* scratch
  return yield* Effect.forEach(experts, (expert, index) =>
    prune(
      { base, expert, importance: importance[index]! },
      { ...pruning, seed: index, ...params },
      join(directory, `${index}.safetensors`),
    ),
  )
})

const fusions: Readonly<Record<string, Partial<FuseParams>>> = {
  plain: {},
  uniform: { residual: "uniform" },
  base: { residual: "base" },
  unitLambda: { unitLambda: { "layers.0.mlp": 0.5, "layers.1.kvGroup.0": -1 } },
  signElection: { signElection: true },
}

const methods: Readonly<Record<string, MergeParams>> = {
  linear: { method: "linear", perModel: [{ weight: 0.3 }, { weight: 0.7 }] },
  slerp: { method: "slerp", parameters: { t: 0.4 } },
  task_arithmetic: { method: "task_arithmetic", parameters: { lambda: 0.4 }, dtype: "float32" },
  ties: { method: "ties", parameters: { density: 0.3 } },
  dare_ties: { method: "dare_ties", parameters: { density: 0.5 }, seed: 4 },
  della: { method: "della", parameters: { density: 0.5 }, seed: 4 },
  breadcrumbs: { method: "breadcrumbs", parameters: { density: 0.5 } },
  sce: { method: "sce", parameters: { select_topk: 0.2 } },
  pcb: { method: "pcb" },
}

const recorded = async (name: string, found: Readonly<Record<string, string>>) => {
  assert.strictEqual(new Set(Object.values(found)).size, Object.keys(found).length)
  await expect(`${JSON.stringify(found, null, 2)}\n`).toMatchFileSnapshot(`fixtures/written/${name}.json`)
}

describe("the weights on disk are byte for byte those of before", () => {
  it.effect("of linear and task arithmetic", () =>
    Effect.gen(function* () {
      const { base, experts } = yield* inputs
      const found: Record<string, string> = {}
      for (const [name, weights] of [
        ["linear uniform", undefined],
        ["linear weights", [0.25, 0.5]],
      ] as const) {
        const merged = yield* Stages.linear.run({ models: experts }, weights === undefined ? {} : { weights })
        found[name] = yield* digestOf(merged.files["model.safetensors"]!)
      }
      for (const [name, params] of [
        ["task arithmetic 0", { lambda: 0 }],
        ["task arithmetic", { lambda: 0.4 }],
        ["task arithmetic weights", { lambda: 0.7, weights: [0.25, -0.5] }],
      ] as const) {
        const merged = yield* Stages.taskArithmetic.run({ base, experts }, params)
        found[name] = yield* digestOf(merged.files["model.safetensors"]!)
      }
      yield* Effect.promise(() => recorded("sums", found))
    }).pipe(Effect.provide(Stage.layerDetached)),
  )

  it.effect("of masks", () =>
    Effect.gen(function* () {
      const found: Record<string, string> = {}
      for (const sparsifier of ["magnitude", "dare", "della"] as const) {
        for (const [index, mask] of (yield* masksOf({ sparsifier })).entries())
          found[`${sparsifier} ${index}`] = yield* digestOf(mask.path)
      }
      for (const density of [0.05, 0.7]) {
        for (const [index, mask] of (yield* masksOf({ density, dropFraction: 0, rhoMin: 0 })).entries())
          found[`density ${density} ${index}`] = yield* digestOf(mask.path)
      }
      yield* Effect.promise(() => recorded("masks", found))
    }),
  )

  it.effect("of fusions", () =>
    Effect.gen(function* () {
      const { base, experts, importance } = yield* inputs
      const weights = yield* adaptiveWeights({ importance }, { temperature: 0.5 })
      const found: Record<string, string> = {}
      const sets: Readonly<Record<string, ReadonlyArray<Mask.Mask>>> = {
        "no masks": [],
        magnitude: yield* masksOf({}),
        dare: yield* masksOf({ sparsifier: "dare" }),
      }
      for (const [set, masks] of Object.entries(sets)) {
        for (const [name, params] of Object.entries(fusions)) {
          const merged = yield* Stages.fuse.run({ base, experts, masks, weights }, {
            lambda: 0.6,
            residual: "mean",
            ...params,
          } as Parameters<typeof Stages.fuse.run>[1])
          found[`${set}, ${name}`] = yield* digestOf(merged.files["model.safetensors"]!)
        }
      }
      yield* Effect.promise(() => recorded("fusions", found))
    }).pipe(Effect.provide(Stage.layerDetached)),
  )

  it.effect("of methods by name", () =>
    Effect.gen(function* () {
      const { base, experts } = yield* inputs
      const found: Record<string, string> = {}
      for (const [name, params] of Object.entries(methods)) {
        const models = name === "slerp" ? experts.slice(0, 1) : experts
        const result = yield* merge(
          { ...(name === "linear" ? {} : { base }), models },
          params,
          join(yield* scratch, "merged"),
        )
        found[name] = yield* digestOf(result.files["model.safetensors"]!)
      }
      yield* Effect.promise(() => recorded("methods", found))
    }),
  )
})
