/**
 * The service that runs models: opens checkpoints in a pool of worker threads.
 *
 * The graph of a model is written here from its architecture and points into the checkpoint's own files; there is no
 * export step and no second copy of the weights on disk. Threads start with the first model and end with the layer.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { BlockModel } from "../blocks/BlockModel.ts"
import type { CausalModel } from "./CausalModel.ts"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import type { InterpolatedFisher } from "../attribution/InterpolatedFisher.ts"
import type { InterpolatedModel } from "./InterpolatedModel.ts"
import type { EncoderModel } from "./EncoderModel.ts"
import type { Example } from "../text/Example.ts"
import type { Replacement } from "../graphs/SuffixGraph.ts"
import type { ModelError } from "../ModelError.ts"
import * as OpenModels from "./OpenModels.ts"
import type { PoolOptions } from "../runtime/WorkerPool.ts"
import * as Pool from "../runtime/WorkerPool.ts"
import type { StatisticsModel } from "../attribution/StatisticsModel.ts"
import type { UnitInterventions } from "./UnitInterventions.ts"
import type { Grouping, VirtualMerge } from "./VirtualMerge.ts"

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
    ) => Effect.Effect<InterpolatedModel, ModelError, Scope.Scope>
    /**
     * Opens `from` with single units moved along the change from base to expert, for the losses of these examples; each
     * layer starts from its residual stream, computed once.
     */
    readonly openMoves: (
      models: Readonly<Record<"from" | "base" | "expert", Checkpoint>>,
      examples: ReadonlyArray<Example>,
    ) => Effect.Effect<UnitInterventions, ModelError, Scope.Scope>
    /**
     * As `openMoves`, for single units whose outputs go, at step −1, to zero, or to their mean over these examples. A
     * key-value head has no output of its own.
     */
    readonly openAblations: (
      checkpoint: Checkpoint,
      examples: ReadonlyArray<Example>,
      replacement: Replacement,
    ) => Effect.Effect<UnitInterventions, ModelError, Scope.Scope>
    /** Opens the second order of what an expert's change is worth. */
    readonly openDeltaFisher: (
      base: Checkpoint,
      expert: Checkpoint,
    ) => Effect.Effect<InterpolatedFisher, ModelError, Scope.Scope>
    /**
     * Opens the merges base + Σ λ · (expert − base), one λ per expert and group of weights; `groupOf` names the group
     * of a tensor, or those of its rows or columns.
     */
    readonly openVirtualMerge: (
      base: Checkpoint,
      experts: ReadonlyArray<Checkpoint>,
      groupOf: Grouping,
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
    Effect.map(Pool.make(), (pool) => LanguageModel.of(OpenModels.fromPool(pool))),
  )
  /** Runs models within given budgets of threads and memory. */
  static readonly layerWith = (options: PoolOptions): Layer.Layer<LanguageModel> =>
    Layer.effect(
      LanguageModel,
      Effect.map(Pool.make(options), (pool) => LanguageModel.of(OpenModels.fromPool(pool))),
    )
}
