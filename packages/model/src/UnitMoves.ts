/**
 * A model with units of one layer moved along the change from a base to an expert: what the losses of some examples are
 * then, unit by unit.
 *
 * W = from + step · (expert − base) in the units that move; everything else stays as `from` has it. The residual stream
 * before a layer does not depend on what its units do, so it is computed once for all of them, and what is measured of a
 * layer runs through the layers from there on, many units and examples to a batch. Sessions of one layer are open at a
 * time, until another layer's turn comes. Units of several layers at once are a `DeltaModel`'s.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as DeltaGates from "./DeltaGates.ts"
import type { Example } from "./Example.ts"
import { ModelError } from "./ModelError.ts"
import type { ModelShape } from "./ModelShape.ts"
import * as Batches from "./runtime/Batches.ts"
import * as Losses from "./runtime/Losses.ts"
import type { Tensors } from "./runtime/Protocol.ts"
import type { OpenProgram } from "./runtime/WorkerPool.ts"
import type { Unit } from "./Unit.ts"

/** How far a unit goes: 1 adds the whole change of it, −1 takes it away. */
export interface Move {
  readonly unit: Pick<Unit, "kind" | "layer" | "index">
  readonly step: number
}

export interface UnitMoves {
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
  /** The program of all residual streams. */
  readonly streams: Effect.Effect<OpenProgram, ModelError, Scope.Scope>
  /** The program from a layer on. */
  readonly suffix: (layer: number) => Effect.Effect<OpenProgram, ModelError, Scope.Scope>
}

/** Bytes of residual streams that are kept at most, unless those of one layer need more. */
const maxStreams = 256 * 2 ** 20

/** The streams before some layers, `[layer][example]`, each [tokens − 1, hiddenSize]. */
type Streams = ReadonlyMap<number, ReadonlyArray<Float32Array>>

/** The moves of a model over its programs. */
export const make = Effect.fnUntraced(function* (
  parts: Parts,
): Effect.fn.Return<UnitMoves, ModelError, Scope.Scope> {
  const { examples, name, shape, suffix } = parts
  yield* Losses.checkExamples(name, shape, examples)
  const lock = Semaphore.makeUnsafe(1)
  const scope = yield* Effect.scope
  let kept: Streams = new Map()
  let open:
    | { readonly layer: number; readonly program: OpenProgram; readonly own: Scope.Closeable }
    | undefined

  /** The program from a layer on, in place of another layer's. */
  const programOf = Effect.fnUntraced(function* (layer: number) {
    if (open?.layer === layer) return open.program
    if (open !== undefined) yield* Scope.close(open.own, Exit.void)
    open = undefined
    const own = yield* Scope.fork(scope)
    const program = yield* Effect.provideService(suffix(layer), Scope.Scope, own)
    open = { layer, program, own }
    return program
  })

  const ofLayer = Effect.fnUntraced(function* (layer: number, moves: ReadonlyArray<Move>) {
    if (!kept.has(layer)) kept = yield* Effect.scoped(streamsFrom(parts, layer))
    const streams = kept.get(layer) ?? []
    const program = yield* programOf(layer)
    const pairs = moves.flatMap((move, m) => examples.map((example, k) => ({ move, m, example, k })))
    const results = moves.map(() => new Float64Array(examples.length))
    const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
      const own = batch.flatMap((i) => pairs[i] ?? [])
      const selected = own.map(({ example }) => example)
      const { tokens: _, ...feeds } = Losses.feeds(selected)
      const outputs = yield* program.lease((lease) =>
        lease.run(
          {
            ...feeds,
            hidden: padded(
              own.map(({ k }) => streams[k] ?? new Float32Array(0)),
              shape.hiddenSize,
            ),
            ...stepsOf(
              shape,
              own.map(({ move }) => move),
            ),
          },
          ["logLikelihood"],
        ),
      )
      const losses = Losses.ofRows(selected, Losses.float32(outputs["logLikelihood"]))
      for (const [i, { k, m }] of own.entries()) results[m]![k] = losses[i] ?? NaN
    })
    const plan = Batches.plan(
      { ...shape, layers: shape.layers - layer },
      Losses.extents(pairs.map(({ example }) => example)),
    )
    yield* Effect.forEach(plan, run, { concurrency: program.width, discard: true })
    for (const losses of results) yield* Losses.checkFinite(name, losses)
    return results
  })

  const losses: UnitMoves["losses"] = Effect.fnUntraced(function* (moves) {
    const results = moves.map(() => new Float64Array(0))
    for (const [layer, own] of Map.groupBy(moves.keys(), (i) => moves[i]!.unit.layer)) {
      if (layer < 0 || layer >= shape.layers) {
        const problem = `expected units of layers 0…${shape.layers - 1}, got one of layer ${layer}`
        return yield* new ModelError({ model: name, problem, blame: "input" })
      }
      const indices = [...own]
      const found = yield* lock.withPermit(
        ofLayer(
          layer,
          indices.map((i) => moves[i]!),
        ),
      )
      indices.forEach((i, at) => (results[i] = found[at]!))
    }
    return results
  })
  const still: Move = { unit: { kind: "mlp", layer: shape.layers - 1, index: 0 }, step: 0 }
  const unmoved = yield* Effect.cached(Effect.map(losses([still]), ([own = new Float64Array(0)]) => own))
  return { shape, losses, unmoved }
})

/** The streams before as many layers from `first` on as are kept at once. */
const streamsFrom = Effect.fnUntraced(function* (
  { examples, shape, streams: opening }: Parts,
  first: number,
) {
  const { hiddenSize, layers } = shape
  const inputs = examples.map(({ tokens }) => tokens.slice(0, -1))
  const bytes = 4 * hiddenSize * inputs.reduce((sum, { length }) => sum + length, 0)
  const count = Math.min(layers - first, Math.max(1, Math.floor(maxStreams / bytes)))
  const found = new Map<number, Array<Float32Array>>()
  for (let l = first; l < first + count; l++) found.set(l, [])
  const program = yield* opening
  const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
    const rows = batch.map((k) => inputs[k] ?? [])
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
        own[k] = stream.slice(start, start + (rows[i]?.length ?? 0) * hiddenSize)
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

/** The inputs that say what moves in each sequence of a batch. */
const stepsOf = (shape: ModelShape, moves: ReadonlyArray<Move>): Tensors => {
  const { heads, kvHeads } = shape
  const still = DeltaGates.filled({ ...shape, layers: 1 }, 0)
  const gates = moves.map(({ step, unit }) => DeltaGates.with(still, shape, { ...unit, layer: 0 }, step))
  const joined = (rows: ReadonlyArray<Float32Array>) => Float32Array.from(rows.flatMap((row) => [...row]))
  const moved = gates.flatMap(({ mlp: [step = 0] }, i) => (step === 0 ? [] : [{ sequence: i, step }]))
  // A step of 0 is the place of all that do not move.
  const places = [...moved, { sequence: 0, step: 0 }]
  const order = new Int32Array(moves.length).fill(moved.length)
  moved.forEach(({ sequence }, place) => (order[sequence] = place))
  return {
    "steps.queryHeads": Batches.float32(joined(gates.map(({ queryHeads }) => queryHeads)), [
      moves.length,
      heads,
    ]),
    "steps.kvHeads": Batches.float32(joined(gates.map(({ kvHeads: own }) => own)), [moves.length, kvHeads]),
    "steps.mlp": Batches.float32(
      Float32Array.from(places, ({ step }) => step),
      [places.length],
    ),
    "moved.sequences": Batches.int32(
      Int32Array.from(places, ({ sequence }) => sequence),
      [places.length],
    ),
    "moved.places": Batches.int32(order, [moves.length]),
  }
}
