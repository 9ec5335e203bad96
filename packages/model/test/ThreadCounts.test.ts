/**
 * The number of workers and threads is in no key, so it may change no bit of a result.
 *
 * The wide model is wide enough for ONNX Runtime to divide its operators among threads.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import {
  CausalModel,
  type Checkpoint,
  InterpolatedGates,
  InterpolatedModel,
  LayerGroup,
  Runtime,
  StatisticsModel,
  VirtualMerge,
} from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"
import { example } from "./support/models.ts"
import * as RandomCheckpoint from "./support/randomCheckpoint.ts"
import { means } from "./support/statistics.ts"

const wide = {
  layers: 2,
  hiddenSize: 384,
  intermediateSize: 1024,
  heads: 8,
  kvHeads: 4,
  vocabSize: 1024,
  tied: false,
}

/** Rows of unlike lengths, so that batches are padded and some threads end before others. */
const examples = Array.from({ length: 6 }, (_, row) =>
  example(
    Array.from({ length: 24 + 9 * (row % 5) }, (_, i) => 1 + ((row * 131 + i * 197) % 1023)),
    6,
  ),
)

/** Every bit of some numbers, in few characters. */
const bits = (...lists: ReadonlyArray<ArrayLike<number>>): string => {
  const hash = createHash("sha256")
  for (const values of lists) hash.update(new Uint8Array(Float64Array.from(values).buffer))
  return hash.digest("hex")
}

/** What models say of the examples, by name. */
const measured = Effect.fnUntraced(function* (base: Checkpoint.Checkpoint, expert: Checkpoint.Checkpoint) {
  const model = yield* CausalModel.open(base)
  const prompts = examples.map(({ promptLength, tokens }) => tokens.slice(0, promptLength))
  const sensitivity = yield* model.sensitivity(examples)
  const interpolated = yield* InterpolatedModel.open(base, expert)
  const gates = InterpolatedGates.filled(interpolated.shape, 0.4)
  const derivatives = yield* interpolated.gradients(examples, gates)
  const merge = yield* VirtualMerge.open(base, [expert], LayerGroup.of)
  const lambdas = Float32Array.from(merge.groups, () => 0.3)
  const gradient = yield* merge.gradients(examples, lambdas)
  const entropies = yield* merge.entropies(examples, lambdas)
  const statistics = yield* StatisticsModel.open(base)
  const statistic = (kind: "fisher" | "gram") =>
    Effect.map(means(statistics, examples, { kind }), (all) =>
      bits(...[...all.values()].map(({ data }) => data)),
    )
  return {
    losses: bits(yield* model.losses(examples)),
    logits: bits(...(yield* model.logits(prompts))),
    sensitivity: bits(sensitivity.losses, ...sensitivity.values),
    derivatives: bits(
      derivatives.map(({ loss }) => loss),
      ...derivatives.flatMap(({ gates: { kvHeads, mlp, queryHeads } }) => [kvHeads, mlp, queryHeads]),
    ),
    gradient: bits(gradient.losses, gradient.gradient),
    entropies: bits(entropies.entropies, entropies.gradient),
    gram: yield* statistic("gram"),
    fisher: yield* statistic("fisher"),
  }
})

describe("the number of threads", () => {
  it.live(
    "changes no bit of a loss, a logit, a gradient or a statistic",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporary
        const base = yield* RandomCheckpoint.write(`${directory}/base`, wide)
        const expert = yield* RandomCheckpoint.write(`${directory}/expert`, { ...wide, seed: 7 })
        const under = (options: { readonly workers: number; readonly threads: number }) =>
          Effect.scoped(measured(base, expert)).pipe(Effect.provide(Runtime.layerWith(options)))
        const alone = yield* under({ workers: 1, threads: 1 })
        assert.strictEqual(new Set(Object.values(alone)).size, Object.keys(alone).length)
        // One session that divides its operators, and sessions that divide the examples.
        assert.deepStrictEqual(yield* under({ workers: 1, threads: 3 }), alone)
        assert.deepStrictEqual(yield* under({ workers: 3, threads: 3 }), alone)
      }),
    120_000,
  )
})
