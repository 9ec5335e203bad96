/**
 * A model with single units moved: what the losses of some examples are then, unit by unit.
 *
 * A unit moves along the change from a base to an expert, W = from + step · (expert − base), or its output moves to
 * nothing, or its mean, at step −1. Everything else stays. The residual stream before a layer does not depend on what its
 * units do, so it is computed once for all of them, and what is measured runs through the layers from there on, many
 * units and examples to a batch. Sessions of one span of layers, beside the last, are open at a time, until another's turn
 * comes; how layers are cut into spans is `Spans.plan`'s. Several units at once are a `InterpolatedModel`'s.
 */
import * as SharedShape from "../architectures/SharedShape.ts"
import * as UnitOutputMeans from "../attribution/UnitOutputMeans.ts"
import * as Checkpoints from "../checkpoint/Checkpoint.ts"
import * as SuffixGraph from "../graphs/SuffixGraph.ts"
import { unitMeans } from "../graphs/UnitOutputMeansGraph.ts"
import { Runtime } from "../runtime/Runtime.ts"
import * as UnitFeeds from "./UnitFeeds.ts"
import { at, entry, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Example } from "../text/Example.ts"
import type { Span } from "../graphs/SuffixGraph.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import * as Spans from "../runtime/Spans.ts"
import * as ExclusiveProgram from "../runtime/ExclusiveProgram.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"
import type { Unit } from "../units/Unit.ts"

/** How far a unit goes: 1 adds the whole change of it, or its output once more, −1 takes it away. */
export interface Move {
  readonly unit: Pick<Unit, "kind" | "layer" | "index">
  readonly step: number
}

export interface UnitInterventions {
  readonly shape: ModelShape
  /**
   * Mean negative log-likelihood of each example's response after each move alone, in nats per token:
   * [moves][examples]. Moves of one layer share what they can.
   */
  readonly losses: (moves: ReadonlyArray<Move>) => Effect.Effect<ReadonlyArray<Float64Array>, ModelError>
  /** The losses with nothing moved, [examples]: what a move that changes no weight has to the last digit. */
  readonly unmoved: Effect.Effect<Float64Array, ModelError>
}

/** What the moves are made of. `name` stands for the model in errors. */
export interface Parts {
  readonly name: string
  readonly shape: ModelShape
  readonly examples: ReadonlyArray<Example>
  /** The program of the residual streams before some layers. */
  readonly streams: (layers: ReadonlyArray<number>) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>
  /** The program from a span of layers on, in which units can move. */
  readonly suffix: (span: Span) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>
  /** The inputs of that program that say what moves in each sequence of a batch. */
  readonly steps: Effect.Effect<(span: Span, moves: ReadonlyArray<Move>) => Tensors, ModelError>
}

/** Bytes of residual streams that are kept at most, unless those of one layer need more. */
const maxStreams = 256 * 2 ** 20

/** The streams before some layers, `[layer][example]`, each [tokens − 1, hiddenSize]. */
type Streams = ReadonlyMap<number, ReadonlyArray<Float32Array>>

/** The moves of a model over its programs. */
export const make = Effect.fnUntraced(function* (
  parts: Parts,
): Effect.fn.Return<UnitInterventions, ModelError, Scope.Scope> {
  const { examples, name, shape, suffix } = parts
  yield* Losses.checkExamples(name, shape, examples)
  const spans = Spans.plan(
    shape,
    examples.reduce((sum, { tokens }) => sum + tokens.length - 1, 0),
  )
  const lock = Semaphore.makeUnsafe(1)
  const scope = yield* Effect.scope
  let kept: Streams = new Map()
  /** The program of the last span, the smallest, stays: what nothing moves in runs there too. */
  const last = yield* Effect.cached(
    Effect.suspend(() => Effect.provideService(suffix(known(spans.at(-1))), Scope.Scope, scope)),
  )

  const turns = yield* ExclusiveProgram.make(suffix)
  const programOf = (span: Span) => (span === spans.at(-1) ? last : turns(span))

  const ofSpan = Effect.fnUntraced(function* (span: Span, moves: ReadonlyArray<Move>) {
    if (!kept.has(span.start)) kept = yield* Effect.scoped(streamsFrom(parts, spans, span))
    const streams = entry(kept, span.start)
    const steps = yield* parts.steps
    const program = yield* programOf(span)
    const pairs = moves.flatMap((move, m) => examples.map((example, k) => ({ move, m, example, k })))
    const results = moves.map(() => new Float64Array(examples.length))
    const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
      const own = batch.map((i) => at(pairs, i))
      const selected = own.map(({ example }) => example)
      const { tokens: _, ...feeds } = Losses.feeds(selected)
      const outputs = yield* program.lease((lease) =>
        lease.run(
          {
            ...feeds,
            hidden: padded(
              own.map(({ k }) => at(streams, k)),
              shape.hiddenSize,
            ),
            ...steps(
              span,
              own.map(({ move }) => move),
            ),
          },
          ["logLikelihood"],
        ),
      )
      const losses = Losses.ofRows(selected, Losses.float32(outputs["logLikelihood"]))
      for (const [i, { k, m }] of own.entries()) at(results, m)[k] = at(losses, i)
    })
    const plan = Batches.plan(
      { ...shape, layers: shape.layers.slice(span.start) },
      Losses.extents(pairs.map(({ example }) => example)),
    )
    yield* Effect.forEach(plan, run, { concurrency: program.width, discard: true })
    for (const losses of results) yield* Losses.checkFinite(name, losses)
    return results
  })

  const losses: UnitInterventions["losses"] = Effect.fnUntraced(function* (moves) {
    const results = moves.map(() => new Float64Array(0))
    const wrong = moves.find(({ unit: { layer } }) => !spans.some(holds(layer)))
    if (wrong !== undefined) {
      const problem = `expected units of layers 0…${shape.layers.length - 1}, got one of layer ${wrong.unit.layer}`
      return yield* new ModelError({ model: name, problem, blame: "input" })
    }
    for (const [span, own] of Map.groupBy(moves.keys(), (i) =>
      known(spans.find(holds(at(moves, i).unit.layer))),
    )) {
      const indices = [...own]
      const found = yield* lock.withPermit(
        ofSpan(
          span,
          indices.map((i) => at(moves, i)),
        ),
      )
      indices.forEach((i, at) => (results[i] = known(found[at])))
    }
    return results
  })
  const still: Move = { unit: { kind: "mlp", layer: shape.layers.length - 1, index: 0 }, step: 0 }
  const unmoved = yield* Effect.cached(Effect.map(losses([still]), ([own = new Float64Array(0)]) => own))
  return { shape, losses, unmoved }
})

/** Whether a span holds a layer. */
const holds =
  (layer: number) =>
  ({ end, start }: Span): boolean =>
    layer >= start && layer < end

/** The streams before all spans, or as many from `first` on as are kept at once. */
const streamsFrom = Effect.fnUntraced(function* (
  { examples, shape, streams: opening }: Parts,
  spans: ReadonlyArray<Span>,
  first: Span,
) {
  const { hiddenSize } = shape
  const inputs = examples.map(({ tokens }) => tokens.slice(0, -1))
  const bytes = 4 * hiddenSize * inputs.reduce((sum, { length }) => sum + length, 0)
  const count = Math.max(1, Math.floor(maxStreams / bytes))
  // All of them where they fit: what is asked for next may lie before this.
  const starts = count < spans.length ? spans.slice(spans.indexOf(first)).slice(0, count) : spans
  const found = new Map(starts.map(({ start }) => [start, Array<Float32Array>()]))
  const program = yield* opening([...found.keys()])
  const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
    const rows = batch.map((k) => at(inputs, k))
    const { keyPositions, positions, tokens } = Batches.feeds(rows, [], "right")
    const outputs = yield* program.lease((lease) =>
      lease.run(
        { keyPositions, positions, tokens },
        Array.from(found.keys(), (l) => `stream.${l}`),
      ),
    )
    const width = rows.reduce((max, { length }) => Math.max(max, length), 0)
    for (const [l, own] of found) {
      const stream = Losses.float32(outputs[`stream.${l}`]) // [batch, width, hiddenSize]
      batch.forEach((k, i) => {
        const start = i * width * hiddenSize
        own[k] = stream.slice(start, start + at(rows, i).length * hiddenSize)
      })
    }
  })
  const extents = inputs.map(({ length }) => ({ length, total: length, rows: 0 }))
  yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: program.width, discard: true })
  return found
})

/** Streams of different lengths as one batch, padded at the back. */
const padded = (streams: ReadonlyArray<Float32Array>, hiddenSize: number) => {
  const size = streams.reduce((max, { length }) => Math.max(max, length), 0)
  const hidden = new Float32Array(streams.length * size) // [batch, width, hiddenSize]
  streams.forEach((stream, i) => hidden.set(stream, i * size))
  return Batches.float32(hidden, [streams.length, size / hiddenSize, hiddenSize])
}

/**
 * Opens `from` with single units moved along the change from base to expert, for the losses of these examples; each layer
 * starts from its residual stream, computed once.
 */
export const openMoves = Effect.fn("UnitInterventions.openMoves")(function* (
  { base, expert, from }: Readonly<Record<"from" | "base" | "expert", Checkpoints.Checkpoint>>,
  examples: ReadonlyArray<Example>,
): Effect.fn.Return<UnitInterventions, ModelError, Runtime | Scope.Scope> {
  const runtime = yield* Runtime
  const name = SharedShape.nameOf(from)
  const shape = yield* SharedShape.of(base, [expert, from])
  const moving = { from: from.tensors, base: base.tensors, expert: expert.tensors }
  return yield* make({
    name,
    shape,
    examples,
    streams: (layers) => runtime.prepare(name, SuffixGraph.streams(shape, from.tensors, layers)),
    suffix: (span) => runtime.prepare(name, SuffixGraph.moving(shape, span, moving)),
    steps: Effect.succeed(UnitFeeds.moving(shape)),
  })
})

/**
 * As `openMoves`, for single units whose outputs go, at step −1, to zero, or to their mean over these examples. A key-value
 * head has no output of its own.
 */
export const openAblations = Effect.fn("UnitInterventions.openAblations")(function* (
  checkpoint: Checkpoints.Checkpoint,
  examples: ReadonlyArray<Example>,
  replacement: SuffixGraph.Replacement,
): Effect.fn.Return<UnitInterventions, ModelError, Runtime | Scope.Scope> {
  const runtime = yield* Runtime
  const name = SharedShape.nameOf(checkpoint)
  const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), SharedShape.asModelError(name))
  const { tensors } = checkpoint
  const means = runtime.prepare(name, unitMeans(shape, tensors)).pipe(
    Effect.flatMap((program) => UnitOutputMeans.measure(shape, program, examples)),
    Effect.scoped,
  )
  return yield* make({
    name,
    shape,
    examples,
    streams: (layers) => runtime.prepare(name, SuffixGraph.streams(shape, tensors, layers)),
    suffix: (span) => runtime.prepare(name, SuffixGraph.ablating(shape, span, tensors, replacement)),
    steps: yield* Effect.cached(
      Effect.map(replacement === "mean" ? means : Effect.undefined, (measured) =>
        UnitFeeds.ablating(shape, measured),
      ),
    ),
  })
})
