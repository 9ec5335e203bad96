/**
 * What an importance method is: a name, what it costs, and blocks of units that are measured together.
 *
 * A method gives every unit a value per golden example, in nats, positive where the unit helps the expert. Blocks are
 * what a stage checkpoints; a method that measures unit by unit has one per unit. Adding a method is adding a file.
 */
import type { ScoringError } from "../ScoringError.ts"
import type {
  CausalModel,
  Checkpoint,
  CheckpointError,
  DeltaModel,
  Example,
  ModelError,
  SafetensorsError,
  Unit,
} from "@hila/model"
import type * as Effect from "effect/Effect"

/** What is to be measured. */
export interface Task {
  readonly base: Checkpoint.Checkpoint
  readonly expert: Checkpoint.Checkpoint
  /** The expert's own answers; two or more. */
  readonly golden: ReadonlyArray<Example.Example>
  readonly units: ReadonlyArray<Unit.Unit>
  /** Seed of methods that draw. */
  readonly seed: number
}

/** Losses of base and expert, which every unit is compared with. */
export interface References {
  readonly base: ReadonlyArray<number> // [examples], nats per response token
  readonly expert: ReadonlyArray<number> // [examples], nats per response token
}

/** The models of a task, each opened when first asked for. */
export interface Models {
  /** Base and expert at once, with a gate per unit between them. */
  readonly delta: Effect.Effect<DeltaModel, ModelError>
  /** The expert alone, with gates on the outputs of its heads and MLPs. */
  readonly expert: Effect.Effect<CausalModel, ModelError>
  readonly references: Effect.Effect<References, ModelError>
}

export type MethodError = ModelError | ScoringError | CheckpointError | SafetensorsError

/** Units that are measured together. */
export interface Block {
  /** Unique within a method's blocks, the same from run to run. */
  readonly id: string
  /** [units of the block][examples] in the order of the task, or one value per unit for methods without data. */
  readonly measure: Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, MethodError>
}

/** One way to measure importance. */
export interface Method {
  readonly name: string
  /** Passes over one example for so many units, beside the two for the losses of base and expert. */
  readonly cost: (units: number) => { readonly forward: number; readonly backward: number }
  /** Blocks that cover the task's units once, in their order. */
  readonly blocks: (task: Task, models: Models) => ReadonlyArray<Block>
}
