/**
 * What an importance method is: a name, what it costs, parts that are measured one by one, and how they combine.
 *
 * A method gives every unit a value per golden example, in nats, positive where the unit helps the expert. Parts are
 * what a stage checkpoints: units where they are measured one by one, points of a path where all units are measured at
 * once. Adding a method is adding a file.
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
  /** Points of methods that integrate, ≥ 1. */
  readonly quadrature: number
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

/** Values of units: [units][examples], signed, nats; one value per unit for methods without data. */
export type Values = ReadonlyArray<ReadonlyArray<number>>

/** A piece of the measurement; what a stage checkpoints. */
export interface Part {
  /** Unique within a method's parts, the same from run to run. */
  readonly id: string
  readonly measure: Effect.Effect<Values, MethodError>
}

/** One way to measure importance. */
export interface Method {
  readonly name: string
  /** Passes over one example for so many units and points, beside the losses that differences are taken from. */
  readonly cost: (
    units: number,
    quadrature: number,
  ) => { readonly forward: number; readonly backward: number }
  readonly parts: (task: Task, models: Models) => ReadonlyArray<Part>
  /** The values of the task's units, in their order, from the parts' in theirs. */
  readonly combine: (parts: ReadonlyArray<Values>) => Values
}
