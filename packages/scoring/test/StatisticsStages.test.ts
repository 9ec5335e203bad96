import { assert, layer } from "@effect/vitest"
import { Events, Run, Source, Stage, Store } from "@hila/core"
import { Checkpoint, Example, Runtime, StatisticsModel, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { Collection, Stages } from "../src/index.ts"
import { checkpointPath } from "./fixtures.ts"

/** Examples of different lengths, more than two parts take. */
const examples: ReadonlyArray<Example.Example> = Array.from({ length: 130 }, (_, i) => ({
  prompt: "",
  response: "",
  promptLength: 1 + (i % 3),
  tokens: Array.from({ length: 4 + (i % 4) }, (__, t) => 3 + ((37 * i + 11 * t) % 300)),
}))
const model = Checkpoint.source(checkpointPath("math"))
const golden = Source.value(Example.artifact, examples)

const tensor = (statistics: WeightStatistics.WeightStatistics, name: string) => {
  const info = statistics.tensors.get(name)
  return info === undefined ? assert.fail(`no ${name}`) : WeightStatistics.read(info)
}

layer(Layer.mergeAll(Runtime.layer, Stage.layerDetached))("Statistics in parts", (it) => {
  it.effect("are those of the whole, in the stage and as a function", () =>
    Effect.gen(function* () {
      const scratch = yield* Stage.scratch
      const store = Store.layer(join(scratch, "whole-store"))
      const node = Stages.statistics({ model, examples: golden }, { kind: "activation", memory: 20_000 })
      const { statistics } = yield* Effect.provide(Run.outputs({ statistics: node }), store)
      assert.strictEqual(statistics.kind, "activation")
      assert.strictEqual(statistics.examples, examples.length)
      const tokens = examples.reduce((sum, one) => sum + one.tokens.length - 1, 0)
      assert.strictEqual(statistics.tokens, tokens)

      const checkpoint = yield* Checkpoint.open(checkpointPath("math"))
      const opened = yield* StatisticsModel.open(checkpoint)
      const passes = yield* opened.passes({ kind: "activation" })
      assert.deepInclude(Collection.cost(passes, 130), { forward: 130, backward: 0, tensors: 37 })
      const sums = yield* opened.collect(passes[0]!, examples)
      const predictions = examples.reduce((sum, one) => sum + one.tokens.length - one.promptLength, 0)
      for (const [i, { names, per }] of passes[0]!.quantities.entries()) {
        const whole = Array.from(sums[i]!, (sum) => sum / (per === "token" ? tokens : predictions))
        for (const name of names) {
          const own = yield* tensor(statistics, name)
          // Runs of other lengths add up other rows in float32, and parts are stored in it.
          whole.forEach((mean, c) => assert.isAtMost(Math.abs(own[c]! - mean), 2e-6 * Math.abs(mean), name))
        }
      }

      const path = join(scratch, "plain.safetensors")
      yield* Collection.collect({ model: checkpoint, examples }, { kind: "activation", memory: 20_000 }, path)
      assert.isTrue(readFileSync(path).equals(readFileSync(statistics.path)))
      assert.deepStrictEqual(
        (yield* Effect.promise(() => readdir(scratch))).filter((name) => name.startsWith("plain")),
        ["plain.safetensors"],
      )
    }),
  )

  it.effect("that are done are kept when the stage is interrupted", () =>
    Effect.gen(function* () {
      const store = Store.layer(join(yield* Stage.scratch, "kept-store"))
      const node = Stages.statistics({ model, examples: golden }, { kind: "activation" })
      const seen: Array<readonly [done: number, kept: number, total: number]> = []
      const run = (onProgress: Effect.Effect<void>) =>
        Run.outputs({ statistics: node }).pipe(
          Effect.provideService(Events, {
            emit: (event) => {
              if (event._tag !== "Progress") return Effect.void
              seen.push([event.done, event.kept, event.total])
              return onProgress
            },
          }),
          Effect.provide(store),
        )
      const fiber = yield* Effect.forkChild(run(Effect.never))
      while (seen.length === 0) yield* Effect.promise(() => new Promise((resume) => setTimeout(resume, 10)))
      yield* Fiber.interrupt(fiber)
      const { statistics } = yield* run(Effect.void)
      assert.deepStrictEqual(seen, [
        [1, 0, 3],
        [1, 1, 3],
        [2, 1, 3],
        [3, 1, 3],
      ])
      assert.isTrue((yield* tensor(statistics, "model.norm.weight.magnitude")).every((value) => value > 0))
    }),
  )

  it.effect("tell a mistake in one line", () =>
    Effect.gen(function* () {
      const opened = yield* StatisticsModel.open(yield* Checkpoint.open(checkpointPath("math")))
      const none = yield* Effect.flip(Collection.parts(opened, [], { kind: "gram" }))
      assert.strictEqual(none.message, "statistics: expected at least one example, got none")
      const blocked = yield* Effect.flip(
        Collection.parts(opened, examples, { kind: "fisher", blocked: true }),
      )
      assert.match(blocked.message, /fisher has no covariances to take by blocks/)
      const wrong = { ...examples[0]!, promptLength: 9 }
      const [part] = yield* Collection.parts(opened, [wrong], { kind: "gram" })
      const refused = yield* Effect.flip(opened.collect(part!.pass, part!.examples))
      assert.match(refused.message, /example 0: expected a prompt of 1…/)
    }),
  )
})
