/**
 * A model that is open for statistics of its weights: sums over examples, in as many passes as a memory budget asks for.
 *
 * A pass is a graph that returns some of the sums. They leave the worker in f32, one run at a time, and are added up in
 * float64 in the order of the runs, so that results depend neither on the workers nor on which run ends first. What
 * the passes bound is the statistics; weights and activations of the whole model are in memory beside them.
 */
import * as Checkpoints from "../checkpoint/Checkpoint.ts"
import { asModelError, nameOf } from "../architectures/SharedShape.ts"
import { Runtime } from "../runtime/Runtime.ts"
import { at, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Example } from "../text/Example.ts"
import * as LossGradients from "./LossGradients.ts"
import * as StatisticsGraph from "../graphs/StatisticsGraph.ts"
import * as Taps from "../graphs/Taps.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type { Graph } from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import * as ExclusiveProgram from "../runtime/ExclusiveProgram.ts"
import * as OrderedBatches from "../runtime/OrderedBatches.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"
import type { Kind } from "./StatisticsKind.ts"

export interface StatisticsOptions {
  readonly kind: Kind
  /**
   * Covariances along heads as diagonal blocks, and inside of the MLP as diagonals; `gram` and `kronecker` only.
   * Default: in full.
   */
  readonly blocked?: boolean
  /** Bytes that sums, and the results of the runs in progress, may take. Default: 1 GiB. */
  readonly memory?: number
}

/** Sums that are collected together. */
export interface StatisticsPass {
  readonly quantities: ReadonlyArray<StatisticsGraph.Quantity>
  /** Their indices among all of the kind. */
  readonly indices: ReadonlyArray<number>
  /** Whether a run takes the backward pass too. */
  readonly backward: boolean
  readonly options: StatisticsOptions
}

export interface StatisticsModel {
  readonly shape: ModelShape
  /** The linear layers whose weights are stored as [in, out]. */
  readonly transposed: ReadonlyArray<string>
  /** What is to be collected, in the order of the model; fails with the bytes it needs where one sum does not fit. */
  readonly passes: (options: StatisticsOptions) => Effect.Effect<ReadonlyArray<StatisticsPass>, ModelError>
  /**
   * The sums of a pass over examples, in the order of its quantities, [...shape] each. The pass stays open until another
   * is asked for; whoever asks meanwhile waits.
   */
  readonly collect: (
    pass: StatisticsPass,
    examples: ReadonlyArray<Example>,
  ) => Effect.Effect<ReadonlyArray<Float64Array>, ModelError>
}

/** What a collection is made of. `name` stands for the model in errors. */
export interface Parts {
  readonly name: string
  readonly shape: ModelShape
  readonly tensors: Parameters<typeof StatisticsGraph.quantities>[1]
  readonly start: (
    graph: Result.Result<Graph, GraphError>,
  ) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>
}

/** A sum in float64, and what one run returns and the worker holds of it. */
const bytesPerElement = 8 + 2 * 4
const standardMemory = 2 ** 30

const elements = ({ shape }: StatisticsGraph.Quantity) => shape.reduce((product, size) => product * size, 1)

/** The model; what is open closes with the scope. */
export const make = Effect.fnUntraced(function* ({
  name,
  shape,
  start,
  tensors,
}: Parts): Effect.fn.Return<StatisticsModel, never, Scope.Scope> {
  const wanted = ({ blocked = false, kind }: StatisticsOptions) => ({ kind, blocked })
  const lock = Semaphore.makeUnsafe(1)
  const programOf = yield* ExclusiveProgram.make((pass: StatisticsPass) =>
    start(StatisticsGraph.statistics(shape, tensors, wanted(pass.options), pass.indices)),
  )

  const passes: StatisticsModel["passes"] = Effect.fnUntraced(function* (options) {
    const refuse = (problem: string) => new ModelError({ model: name, problem, blame: "input" })
    const all = yield* Effect.mapError(
      Effect.fromResult(StatisticsGraph.quantities(shape, tensors, wanted(options))),
      ({ message }) => refuse(message),
    )
    const limit = options.memory ?? standardMemory
    const groups: Array<Array<number>> = []
    let used = Infinity
    for (const [i, quantity] of all.entries()) {
      const bytes = bytesPerElement * elements(quantity)
      if (bytes > limit) {
        return yield* refuse(
          `${quantity.names[0]} of ${options.kind} statistics takes ${bytes} bytes of the ${limit} of the option memory; give it more${options.blocked === true ? "" : ", or take covariances by blocks where they are by heads"}`,
        )
      }
      if (used + bytes > limit) {
        groups.push([])
        used = 0
      }
      groups.at(-1)?.push(i)
      used += bytes
    }
    const backward = StatisticsGraph.isGradient(options.kind)
    return groups.map((indices) => ({
      indices,
      options,
      backward,
      quantities: indices.map((i) => at(all, i)),
    }))
  })

  const collect: StatisticsModel["collect"] = Effect.fnUntraced(function* (pass, examples) {
    yield* Losses.checkExamples(name, shape, examples)
    const { indices, options, quantities } = pass
    const program = yield* programOf(pass)
    const sums = quantities.map((quantity) => new Float64Array(elements(quantity)))
    const inOneRun = quantities.reduce((sum, quantity) => sum + 8 * elements(quantity), 0)
    const spare = Math.floor((options.memory ?? standardMemory) / Math.max(1, inOneRun)) - 1
    const width = Math.max(1, Math.min(program.width, spare))
    const batches = batchesOf(options.kind, shape, examples)
    const fetches = indices.map((i) => `quantity.${i}`)
    const run = (batch: ReadonlyArray<number>) => {
      const selected = batch.map((i) => at(examples, i))
      return program.lease((lease) => lease.run(feeds(options.kind, selected), fetches))
    }
    yield* OrderedBatches.inOrder(batches, width, run, (outputs) =>
      fetches.forEach((fetch, at) => accumulate(known(sums[at]), Losses.float32(outputs[fetch]))),
    )
    for (const [at, sum] of sums.entries()) {
      if (isFinite(sum)) continue
      return yield* new ModelError({
        model: name,
        problem: `${quantities[at]?.names[0]} is not finite: the weights hold NaN or infinite values, or overflow in float32`,
        blame: "input",
      })
    }
    return sums
  })

  return {
    shape,
    transposed: transposedIn(shape),
    passes,
    collect: (pass, examples) => lock.withPermit(collect(pass, examples)),
  }
})

const transposedIn = (shape: ModelShape): ReadonlyArray<string> => {
  const stored = Taps.projections(shape).filter(({ transposed }) => transposed === true)
  return [...new Set(stored.map(({ weight }) => weight))]
}

const isFinite = (values: Float64Array): boolean => {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false
  return true
}

const accumulate = (sum: Float64Array, terms: Float32Array): void => {
  for (let i = 0; i < sum.length; i++) sum[i] = known(sum[i]) + known(terms[i])
}

/** Which examples run together: sums of squares are of one example, others do not mind. */
const batchesOf = (kind: Kind, shape: ModelShape, examples: ReadonlyArray<Example>) => {
  if (kind === "kronecker") return LossGradients.together(shape, examples)
  return StatisticsGraph.isGradient(kind)
    ? LossGradients.alone(examples)
    : Batches.plan(shape, Losses.extents(examples))
}

/** The inputs of a run: the gradient is that of the mean loss of a response, of `kronecker` that of their sum. */
const feeds = (kind: Kind, examples: ReadonlyArray<Example>): Tensors => {
  const coefficients = Float32Array.from(
    examples.flatMap(({ promptLength, tokens }) => {
      const count = tokens.length - promptLength
      return Array.from<number>({ length: count }).fill(kind === "kronecker" ? -1 : -1 / count)
    }),
  )
  return { ...Losses.feeds(examples), coefficients: Batches.float32(coefficients, [coefficients.length]) }
}

/** Opens a model for statistics of its weights. */
export const open = Effect.fn("StatisticsModel.open")(function* (
  checkpoint: Checkpoints.Checkpoint,
): Effect.fn.Return<StatisticsModel, ModelError, Runtime | Scope.Scope> {
  const runtime = yield* Runtime
  const name = nameOf(checkpoint)
  const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), asModelError(name))
  return yield* make({
    name,
    shape,
    tensors: checkpoint.tensors,
    start: (graph) => runtime.start(name, graph),
  })
})
