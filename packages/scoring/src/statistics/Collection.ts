/**
 * Statistics of a model's weights on examples, collected in parts and joined to one file.
 *
 * A part is a block of examples and as many of the sums as the memory holds; it is a statistics file of its own, so that
 * what is done is kept. Joining weighs means by what they are over, in float64, a tensor at a time.
 */
import { at, entry, known } from "@hila/core/Lookup"
import {
  type Checkpoint,
  type Example,
  type ModelError,
  type Runtime,
  SafetensorsError,
  StatisticsModel,
  WeightStatistics,
} from "@hila/model"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mkdtemp, rm } from "node:fs/promises"
import { join } from "node:path"
import { ScoringError } from "../ScoringError.ts"

/** Sums that are collected in one go. */
export interface Part {
  /** Stays the same from run to run. */
  readonly id: string
  readonly pass: StatisticsModel.StatisticsPass
  readonly examples: ReadonlyArray<Example.Example>
}

/** Examples per part: few enough that little is lost with one, many enough that parts are few. */
const block = 64

/** What a mean may be over. */
const counts = (examples: ReadonlyArray<Example.Example>) => ({
  example: examples.length,
  // The last token of an example is not read, since nothing is predicted from it.
  token: examples.reduce((sum, { tokens }) => sum + tokens.length - 1, 0),
  prediction: examples.reduce((sum, { promptLength, tokens }) => sum + tokens.length - promptLength, 0),
})

/** The parts of a collection: pass by pass, since a pass stays open from part to part. */
export const parts = Effect.fnUntraced(function* (
  model: StatisticsModel.StatisticsModel,
  examples: ReadonlyArray<Example.Example>,
  options: StatisticsModel.StatisticsOptions,
): Effect.fn.Return<ReadonlyArray<Part>, ModelError | ScoringError> {
  if (examples.length === 0) {
    return yield* new ScoringError({
      subject: "statistics",
      problem: "expected at least one example, got none",
    })
  }
  const { blocked = false, kind } = options
  if (blocked && kind !== "gram" && kind !== "kronecker") {
    return yield* new ScoringError({
      subject: "statistics",
      problem: `${kind} has no covariances to take by blocks; leave blocked out, or take gram or kronecker`,
    })
  }
  const passes = yield* model.passes(options)
  return passes.flatMap((pass, p) =>
    Array.from({ length: Math.ceil(examples.length / block) }, (_, b) => ({
      id: `pass-${p}-of-${passes.length}-examples-${b * block}`,
      pass,
      examples: examples.slice(b * block, (b + 1) * block),
    })),
  )
})

/** What a collection takes: passes of one example, and what it makes. */
export const cost = (
  passes: ReadonlyArray<StatisticsModel.StatisticsPass>,
  examples: number,
): {
  readonly forward: number
  readonly backward: number
  readonly tensors: number
  readonly bytes: number
} => {
  const shapes = passes.flatMap(({ quantities }) =>
    quantities.flatMap(({ names, shape }) => names.map(() => shape)),
  )
  const forward = passes.length * examples
  return {
    forward,
    backward: passes.some(({ backward }) => backward) ? forward : 0,
    tensors: shapes.length,
    bytes: shapes.reduce((sum, shape) => sum + 4 * shape.reduce((product, size) => product * size, 1), 0),
  }
}

/** Runs a part, and writes each of its means once, under its first name. */
export const measure = Effect.fnUntraced(function* (
  model: StatisticsModel.StatisticsModel,
  { examples, pass }: Part,
  path: string,
): Effect.fn.Return<WeightStatistics.WeightStatistics, ModelError | SafetensorsError> {
  const sums = yield* model.collect(pass, examples)
  const of = counts(examples)
  const means = new Map(
    pass.quantities.map(({ names, per }, i) => [names[0], { sum: at(sums, i), count: of[per] }] as const),
  )
  return yield* WeightStatistics.write(path, {
    kind: pass.options.kind,
    examples: of.example,
    tokens: of.token,
    options: {},
    tensors: new Map(pass.quantities.map(({ names, shape }) => [names[0], shape])),
    values: (name) =>
      Effect.sync(() => {
        const { count, sum } = entry(means, name)
        const mean = new Float32Array(sum.length)
        for (let i = 0; i < mean.length; i++) mean[i] = known(sum[i]) / count
        return mean
      }),
  })
})

/** Joins the files of all parts, in the order of the parts, to one with every name. */
export const combine = Effect.fnUntraced(function* (
  model: StatisticsModel.StatisticsModel,
  all: ReadonlyArray<Part>,
  files: ReadonlyArray<WeightStatistics.WeightStatistics>,
  path: string,
): Effect.fn.Return<WeightStatistics.WeightStatistics, SafetensorsError> {
  const byPass = [...Map.groupBy(all.keys(), (index) => at(all, index).pass)]
  const examples = at(byPass, 0)[1].flatMap((index) => at(all, index).examples)
  const total = counts(examples)
  const { blocked = false, kind } = at(all, 0).pass.options
  const quantities = byPass.flatMap(([pass, parts]) =>
    pass.quantities.flatMap((quantity) => quantity.names.map((name) => ({ name, quantity, parts }))),
  )
  const places = new Map(quantities.map((place) => [place.name, place]))
  return yield* WeightStatistics.write(path, {
    kind,
    examples: total.example,
    tokens: total.token,
    options: { predictions: total.prediction, ...(blocked ? { blocked } : {}) },
    transposed: model.transposed,
    tensors: new Map(quantities.map(({ name, quantity }) => [name, quantity.shape])),
    values: Effect.fnUntraced(function* (name) {
      const { parts, quantity } = entry(places, name)
      const size = quantity.shape.reduce((product, length) => product * length, 1)
      const mean = new Float64Array(size)
      for (const index of parts) {
        const share = counts(at(all, index).examples)[quantity.per] / total[quantity.per]
        const info = files[index]?.tensors.get(quantity.names[0])
        const own = info === undefined ? undefined : yield* WeightStatistics.read(info)
        if (own === undefined) return yield* Effect.die(`${quantity.names[0]} is missing in a part`)
        for (let i = 0; i < size; i++) mean[i] = known(mean[i]) + share * known(own[i])
      }
      return new Float32Array(mean)
    }),
  })
})

/** A directory beside a file that goes with the scope. */
const beside = (path: string) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => mkdtemp(`${path}.`),
      catch: (cause) => new SafetensorsError({ file: path, problem: String(cause), blame: "system" }),
    }),
    (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true })),
  )

/**
 * Collects the statistics of a kind over examples into a file at `path`; while it runs, the parts lie beside it, one of
 * the size of the result for every 64 examples.
 */
export const collect = Effect.fnUntraced(function* (
  {
    examples,
    model: checkpoint,
  }: {
    readonly model: Checkpoint.Checkpoint
    readonly examples: ReadonlyArray<Example.Example>
  },
  options: StatisticsModel.StatisticsOptions,
  path: string,
): Effect.fn.Return<
  WeightStatistics.WeightStatistics,
  ModelError | SafetensorsError | ScoringError,
  Runtime | Scope.Scope
> {
  const model = yield* StatisticsModel.open(checkpoint)
  const all = yield* parts(model, examples, options)
  const directory = yield* beside(path)
  const files = yield* Effect.forEach(all, (part) => measure(model, part, join(directory, part.id)))
  return yield* combine(model, all, files, path)
}, Effect.scoped)
