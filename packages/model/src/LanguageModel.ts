/**
 * The service that runs models: opens checkpoints in a pool of worker threads.
 *
 * The graph of a model is written here from its architecture and points into the checkpoint's own files; there is no
 * export step and no second copy of the weights on disk. Threads start with the first model and end with the layer.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { readFile } from "node:fs/promises"
import { dirname } from "node:path"
import type { BlockModel } from "./blocks/BlockModel.ts"
import * as Blocks from "./blocks/BlockModel.ts"
import * as Pieces from "./blocks/Pieces.ts"
import type { CausalModel } from "./CausalModel.ts"
import * as Causal from "./CausalModel.ts"
import type { Checkpoint } from "./Checkpoint.ts"
import * as Checkpoints from "./Checkpoint.ts"
import type { DeltaFisher } from "./DeltaFisher.ts"
import * as Fisher from "./DeltaFisher.ts"
import type { DeltaModel } from "./DeltaModel.ts"
import * as Delta from "./DeltaModel.ts"
import type { Example } from "./Example.ts"
import type { EncoderModel } from "./EncoderModel.ts"
import * as Encoder from "./EncoderModel.ts"
import * as CausalGraph from "./graphs/CausalGraph.ts"
import { deltaFisher } from "./graphs/DeltaFisherGraph.ts"
import * as DeltaGraph from "./graphs/DeltaGraph.ts"
import { encoder } from "./graphs/Encoder.ts"
import * as Suffix from "./graphs/SuffixGraph.ts"
import { sensitivity } from "./graphs/SensitivityGraph.ts"
import { unitMeans } from "./graphs/UnitMeansGraph.ts"
import { virtualMerge, virtualMergeEntropy, virtualMergeGradient } from "./graphs/VirtualMergeGraph.ts"
import { ModelError } from "./ModelError.ts"
import { difference, type ModelShape } from "./ModelShape.ts"
import { encode } from "./onnx/Encode.ts"
import type { Graph } from "./onnx/Graph.ts"
import type { GraphError } from "./onnx/GraphError.ts"
import { identity } from "./runtime/Identity.ts"
import type { PoolOptions, WorkerPool } from "./runtime/WorkerPool.ts"
import * as Pool from "./runtime/WorkerPool.ts"
import type { StatisticsModel } from "./StatisticsModel.ts"
import * as Statistics from "./StatisticsModel.ts"
import * as UnitMeans from "./UnitMeans.ts"
import type { UnitMoves } from "./UnitMoves.ts"
import * as Moves from "./UnitMoves.ts"
import * as Steps from "./UnitSteps.ts"
import type { VirtualMerge } from "./VirtualMerge.ts"
import * as Merge from "./VirtualMerge.ts"
import * as Tokenizer from "./Tokenizer.ts"

export class LanguageModel extends Context.Service<
  LanguageModel,
  {
    /** What computes, with its version: results are its own, so it enters the keys of stages that run models. */
    readonly identity: string
    /** Opens a model; its sessions close with the scope. */
    readonly open: (checkpoint: Checkpoint) => Effect.Effect<CausalModel, ModelError, Scope.Scope>
    /** Opens an encoder with its classification head. */
    readonly openEncoder: (checkpoint: Checkpoint) => Effect.Effect<EncoderModel, ModelError, Scope.Scope>
    /** Opens the models between a base and an expert of the same shape, base + gate · (expert − base). */
    readonly openDelta: (
      base: Checkpoint,
      expert: Checkpoint,
    ) => Effect.Effect<DeltaModel, ModelError, Scope.Scope>
    /**
     * Opens `from` with single units moved along the change from base to expert, for the losses of these examples; each
     * layer starts from its residual stream, computed once.
     */
    readonly openMoves: (
      models: Readonly<Record<"from" | "base" | "expert", Checkpoint>>,
      examples: ReadonlyArray<Example>,
    ) => Effect.Effect<UnitMoves, ModelError, Scope.Scope>
    /**
     * As `openMoves`, for single units whose outputs go, at step −1, to zero, or to their mean over these examples. A
     * key-value head has no output of its own.
     */
    readonly openAblations: (
      checkpoint: Checkpoint,
      examples: ReadonlyArray<Example>,
      replacement: Suffix.Replacement,
    ) => Effect.Effect<UnitMoves, ModelError, Scope.Scope>
    /** Opens the second order of what an expert's change is worth. */
    readonly openDeltaFisher: (
      base: Checkpoint,
      expert: Checkpoint,
    ) => Effect.Effect<DeltaFisher, ModelError, Scope.Scope>
    /**
     * Opens the merges base + Σ λ · (expert − base), one λ per expert and group of weights; `groupOf` names the group
     * of a tensor, or those of its rows or columns.
     */
    readonly openVirtualMerge: (
      base: Checkpoint,
      experts: ReadonlyArray<Checkpoint>,
      groupOf: Merge.Grouping,
    ) => Effect.Effect<VirtualMerge, ModelError, Scope.Scope>
    /** Opens a model for statistics of its weights. */
    readonly openStatistics: (
      checkpoint: Checkpoint,
    ) => Effect.Effect<StatisticsModel, ModelError, Scope.Scope>
    /**
     * Opens a model that runs piece by piece in a process of at most about `memory` bytes, whatever its size; fails
     * with the bytes it needs where one block does not fit.
     */
    readonly openBlocks: (
      checkpoint: Checkpoint,
      options: { readonly memory: number },
    ) => Effect.Effect<BlockModel, ModelError, Scope.Scope>
  }
>()("@hila/model/LanguageModel") {
  /** Runs models with a worker per CPU (at most four). */
  static readonly layer: Layer.Layer<LanguageModel> = Layer.effect(
    LanguageModel,
    Effect.map(Pool.make(), (pool) => LanguageModel.of(fromPool(pool))),
  )
  /** Runs models within given budgets of threads and memory. */
  static readonly layerWith = (options: PoolOptions): Layer.Layer<LanguageModel> =>
    Layer.effect(
      LanguageModel,
      Effect.map(Pool.make(options), (pool) => LanguageModel.of(fromPool(pool))),
    )
}

const nameOf = (checkpoint: Checkpoint): string => dirname(checkpoint.files["config.json"] ?? "checkpoint")

const asModelError =
  (model: string) =>
  (error: { readonly message: string; readonly blame: "input" | "system" }): ModelError =>
    new ModelError({ model, problem: error.message, blame: error.blame })

/** Bytes of all weights of a graph once they are f32. */
const weightBytes = (graph: Graph): number =>
  graph.initializers.reduce(
    (sum, { value }) => sum + 4 * value.shape.reduce<number>((n, d) => n * Number(d), 1),
    0,
  )

/** Encodes a graph; workers make their sessions of it when they first run it, at the same time. */
const prepare = Effect.fnUntraced(function* (
  pool: WorkerPool,
  model: string,
  graph: Result.Result<Graph, GraphError>,
) {
  const built = yield* Effect.mapError(Effect.fromResult(graph), asModelError(model))
  return yield* pool.open(model, encode(built), weightBytes(built))
})

/** Encodes a graph and makes its first session, so that what is wrong with it fails now. */
const start = Effect.fnUntraced(function* (...of: Parameters<typeof prepare>) {
  const program = yield* prepare(...of)
  yield* program.warm
  return program
})

/** A program that starts when it is first asked for, and ends with the scope it was announced in. */
const later = Effect.fnUntraced(function* (
  pool: WorkerPool,
  model: string,
  graph: () => Result.Result<Graph, GraphError>,
) {
  const scope = yield* Effect.scope
  const starting = Effect.suspend(() => start(pool, model, graph()))
  return yield* Effect.cached(Effect.provideService(starting, Scope.Scope, scope))
})

const GenerationConfig = Schema.fromJsonString(
  Schema.Struct({
    eos_token_id: Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.Int, Schema.Array(Schema.Int)]))),
  }),
)

/** End-of-sequence tokens: those of generation_config.json where it names any, else those of config.json. */
const eosTokenIds = Effect.fnUntraced(function* (checkpoint: Checkpoint, shape: ModelShape) {
  const path = checkpoint.files["generation_config.json"]
  if (path === undefined) return shape.eosTokenIds
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => new ModelError({ model: path, problem: String(cause), blame: "system" }),
  })
  const { eos_token_id: eos } = yield* Effect.mapError(
    Schema.decodeUnknownEffect(GenerationConfig)(text),
    () =>
      new ModelError({
        model: path,
        problem: "expected JSON with eos_token_id as one or more integers",
        blame: "input",
      }),
  )
  return eos === undefined || eos === null ? shape.eosTokenIds : typeof eos === "number" ? [eos] : eos
})

/** The shape that a base and its fine-tunes have in common. */
const sharedShape = Effect.fnUntraced(function* (base: Checkpoint, experts: ReadonlyArray<Checkpoint>) {
  const shape = yield* Effect.mapError(Checkpoints.validate(base), asModelError(nameOf(base)))
  for (const expert of experts) {
    const name = nameOf(expert)
    const found = difference(shape, yield* Effect.mapError(Checkpoints.validate(expert), asModelError(name)))
    if (found !== undefined) {
      return yield* new ModelError({
        model: name,
        problem: `is no fine-tune of ${nameOf(base)}: ${found.path}: expected ${JSON.stringify(found.a)}, got ${JSON.stringify(found.b)}`,
        blame: "input",
      })
    }
  }
  return shape
})

/** The service over a pool that is already there. */
export const fromPool = (pool: WorkerPool): LanguageModel["Service"] => ({
  identity,
  open: Effect.fnUntraced(function* (checkpoint) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), asModelError(name))
    const program = yield* start(pool, name, CausalGraph.causal(shape, checkpoint.tensors))
    return Causal.make({
      name,
      checkpoint,
      shape,
      program,
      sensitivityProgram: yield* later(pool, name, () => sensitivity(shape, checkpoint.tensors)),
      tokenizer: yield* Effect.cached(Tokenizer.open(checkpoint)),
      eosTokenIds: yield* eosTokenIds(checkpoint, shape),
    })
  }),
  openEncoder: Effect.fnUntraced(function* (checkpoint) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoints.validateEncoder(checkpoint), asModelError(name))
    const program = yield* start(pool, name, encoder(shape, checkpoint.tensors))
    const tokenizer = yield* Effect.cached(Tokenizer.open(checkpoint))
    return Encoder.make({ name, checkpoint, shape, program, tokenizer })
  }),
  openDelta: Effect.fnUntraced(function* (base, expert) {
    const name = nameOf(expert)
    const shape = yield* sharedShape(base, [expert])
    const ends = { base: base.tensors, expert: expert.tensors }
    return Delta.make({
      name,
      shape,
      program: yield* later(pool, name, () => DeltaGraph.delta(shape, ends)),
      gradientProgram: yield* later(pool, name, () => DeltaGraph.deltaGradient(shape, ends)),
    })
  }),
  openMoves: Effect.fnUntraced(function* ({ base, expert, from }, examples) {
    const name = nameOf(from)
    const shape = yield* sharedShape(base, [expert, from])
    const moving = { from: from.tensors, base: base.tensors, expert: expert.tensors }
    return yield* Moves.make({
      name,
      shape,
      examples,
      streams: (layers) => prepare(pool, name, Suffix.streams(shape, from.tensors, layers)),
      suffix: (span) => prepare(pool, name, Suffix.moving(shape, span, moving)),
      steps: Effect.succeed(Steps.along(shape)),
    })
  }),
  openAblations: Effect.fnUntraced(function* (checkpoint, examples, replacement) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), asModelError(name))
    const { tensors } = checkpoint
    const means = prepare(pool, name, unitMeans(shape, tensors)).pipe(
      Effect.flatMap((program) => UnitMeans.measure(shape, program, examples)),
      Effect.scoped,
    )
    return yield* Moves.make({
      name,
      shape,
      examples,
      streams: (layers) => prepare(pool, name, Suffix.streams(shape, tensors, layers)),
      suffix: (span) => prepare(pool, name, Suffix.ablating(shape, span, tensors, replacement)),
      steps: yield* Effect.cached(
        Effect.map(replacement === "mean" ? means : Effect.undefined, (own) => Steps.away(shape, own)),
      ),
    })
  }),
  openDeltaFisher: Effect.fnUntraced(function* (base, expert) {
    const name = nameOf(expert)
    const shape = yield* sharedShape(base, [expert])
    const program = yield* start(pool, name, deltaFisher(shape, base.tensors, expert.tensors))
    return Fisher.make({ name, shape, program })
  }),
  openVirtualMerge: Effect.fnUntraced(function* (base, experts, groupOf) {
    const name = `merge over ${nameOf(base)}`
    if (experts.length === 0) {
      return yield* new ModelError({ model: name, problem: "expected at least one expert", blame: "input" })
    }
    const shape = yield* sharedShape(base, experts)
    const { groups, indexOf } = Merge.groupsOf([...shape.expected.keys()], groupOf)
    const merge = {
      shape,
      base: base.tensors,
      experts: experts.map(({ tensors }) => tensors),
      groupOf: indexOf,
      groups: groups.length,
    }
    return Merge.make({
      name,
      shape,
      experts: experts.length,
      groups,
      program: yield* start(pool, name, virtualMerge(merge)),
      gradientProgram: yield* later(pool, name, () => virtualMergeGradient(merge)),
      entropyProgram: yield* later(pool, name, () => virtualMergeEntropy(merge)),
    })
  }),
  openStatistics: Effect.fnUntraced(function* (checkpoint) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), asModelError(name))
    const { tensors } = checkpoint
    return yield* Statistics.make({ name, shape, tensors, start: (graph) => start(pool, name, graph) })
  }),
  openBlocks: Effect.fnUntraced(function* (checkpoint, { memory }) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), asModelError(name))
    const pieces = yield* Pieces.make(name, checkpoint, shape, memory)
    return yield* Blocks.make(checkpoint, { name, shape, pieces, runner: yield* pool.blocks(name) })
  }),
})
