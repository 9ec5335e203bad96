/** What `hila statistics` does. */
import { Source } from "@hila/core"
import { Hub, Runtime, StatisticsModel, WeightStatistics } from "@hila/model"
import { Collection, GoldenFile, Stages } from "@hila/scoring"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFile } from "node:fs/promises"
import * as OutputFile from "./OutputFile.ts"
import * as SmallRun from "./SmallRun.ts"
import * as Stores from "./Stores.ts"

/** What the work takes, in one line; none where something is wrong, which the run itself tells better. */
const costLine = Effect.fnUntraced(
  function* (
    given: { readonly model: string; readonly examples: string },
    options: StatisticsModel.StatisticsOptions,
  ) {
    const model = yield* StatisticsModel.open(yield* Hub.openPath(given.model))
    const text = yield* Effect.tryPromise(() => readFile(given.examples, "utf8"))
    const examples = text.split("\n").filter((line) => line.trim() !== "").length
    const { backward, bytes, forward, tensors } = Collection.cost(yield* model.passes(options), examples)
    const passes = backward === 0 ? `${forward} forward` : `${forward} forward and ${backward} backward`
    const size = `${(bytes / 2 ** 20).toFixed(1)} MiB`
    return `  ${options.kind} as ${tensors} tensors, ${size}, on ${examples} examples: ${passes} passes`
  },
  Effect.scoped,
  Effect.orElseSucceed(() => undefined),
)

/** `hila statistics`: a pipeline of one stage, so that it is cached and resumes. */
export const statistics = Effect.fnUntraced(function* (given: {
  readonly model: string
  readonly examples: string
  readonly kind: WeightStatistics.Kind
  readonly output: string
  readonly blocked: boolean
  readonly memory: number
  readonly store: string
  readonly json: boolean
}) {
  const { blocked, kind } = given
  const options = { kind, memory: given.memory * 2 ** 20, ...(blocked ? { blocked } : {}) }
  const model = Hub.source(given.model)
  const examples = Stages.examples({ expert: model, lines: Source.file(given.examples, GoldenFile.artifact) })
  const node = Stages.statistics({ model, examples }, options)
  const work = Effect.gen(function* () {
    const line = given.json ? undefined : yield* costLine(given, options)
    return yield* SmallRun.outputs(
      { statistics: node },
      { pipeline: "statistics", json: given.json, cost: { stage: "statistics", line } },
    )
  })
  const { statistics: made } = yield* Effect.provide(work, Layer.mergeAll(Runtime.layer, Stores.layer(given)))
  const bytes = yield* OutputFile.copy(made.path, given.output)
  const { examples: count, tensors, tokens } = made
  yield* Console.log(
    given.json
      ? JSON.stringify({ output: given.output, kind, examples: count, tokens, tensors: tensors.size, bytes })
      : `${given.output}: ${WeightStatistics.artifact.summary(made)}, ${(bytes / 2 ** 20).toFixed(1)} MiB`,
  )
})
