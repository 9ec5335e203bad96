/**
 * What an importance method is: a name, version and sources, its options, what it costs, parts that are measured one by
 * one, and how they combine.
 *
 * A method gives every unit a value per golden example, in nats, positive where the unit helps the expert. Parts are
 * what a stage checkpoints: units where they are measured one by one, points of a path where all units are measured at
 * once. Adding a method is adding a file and its line in `names.ts`.
 */
import type { Citation } from "@hila/core/Citation"
import type { ScoringError } from "../ScoringError.ts"
import type {
  Checkpoint,
  CheckpointError,
  Example,
  InterpolatedFisher,
  InterpolatedModel,
  ModelError,
  SafetensorsError,
  Unit,
  UnitInterventions,
} from "@hila/model"
import type * as Effect from "effect/Effect"
import type { Option, Options } from "./options.ts"

/** What is to be measured. */
export interface Subject {
  readonly base: Checkpoint.Checkpoint
  readonly expert: Checkpoint.Checkpoint
  /** The expert's own answers; two or more. */
  readonly golden: ReadonlyArray<Example.Example>
  readonly units: ReadonlyArray<Unit.Unit>
}

/** What is to be measured, with a value for each option that any method has. */
export interface Task extends Subject, Options {}

/** The models of a task, each opened when first asked for. */
export interface Models {
  /** Base and expert at once, with a gate per unit between them. */
  readonly delta: Effect.Effect<InterpolatedModel.InterpolatedModel, ModelError>
  /** The expert, and the base, with single units moved along the expert's change, on the golden data. */
  readonly fromExpert: Effect.Effect<UnitInterventions.UnitInterventions, ModelError>
  readonly fromBase: Effect.Effect<UnitInterventions.UnitInterventions, ModelError>
  /** The expert without the outputs of single units, and with their means over the golden data in place of them. */
  readonly zeroed: Effect.Effect<UnitInterventions.UnitInterventions, ModelError>
  readonly averaged: Effect.Effect<UnitInterventions.UnitInterventions, ModelError>
  /** The second order of the expert's change. */
  readonly fisher: Effect.Effect<InterpolatedFisher.InterpolatedFisher, ModelError>
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

/** How much there is to measure. */
export interface Size {
  readonly units: number
  readonly layers: number
}

/** How much there is to measure, with a value for each option that any method has. */
export interface Amount extends Size, Options {}

/** Passes over one example, those that differences are taken from included. */
export interface Cost {
  readonly forward: number
  readonly backward: number
  /** Forward passes through the whole model that take about as long; a backward pass is two. */
  readonly whole: number
}

/** The cost of as many whole passes. */
export const passes = (forward: number, backward = 0): Cost => ({
  forward,
  backward,
  whole: forward + 2 * backward,
})

/**
 * The cost of a pass per unit from the stream that is kept before its layer, (layers + 1) / (2 · layers) of the model on
 * average; the streams themselves are one pass more, and the loss of what does not move one through the last layer. Of
 * small models streams are kept before every second layer or fewer, which costs more passes and fewer sessions.
 */
export const suffixes = ({ layers, units }: Size): Cost => ({
  forward: units + 2,
  backward: 0,
  whole: (units * (layers + 1)) / (2 * layers) + 1 + 1 / layers,
})

/** What a method says of itself. */
interface About {
  readonly name: string
  /**
   * Raise it when the values of the method change, here and in `names.ts`: above 1 it is part of the key of what the
   * method measured, so that values of older versions are not taken for its own.
   */
  readonly version: number
  /** One line that ends "a unit's importance is …". */
  readonly summary: string
  /** None for what is nobody's idea in particular. */
  readonly sources: ReadonlyArray<Citation>
  /** The values of the task's units, in their order, from the parts' in theirs. */
  readonly combine: (parts: ReadonlyArray<Values>) => Values
}

/** One way to measure importance. */
export interface Method extends About {
  readonly options: ReadonlyArray<Option>
  readonly cost: (of: Amount) => Cost
  readonly parts: (task: Task, models: Models) => ReadonlyArray<Part>
}

/** A method that can read the options it names and no other. */
export const make = <const O extends Option = never>(
  method: About & {
    readonly options?: ReadonlyArray<O>
    readonly cost: (of: Size & Pick<Options, O>) => Cost
    readonly parts: (task: Subject & Pick<Options, O>, models: Models) => ReadonlyArray<Part>
  },
): Method => ({ options: [], ...method })

/** Whether a method needs golden data, and gradients. */
export const needs = ({ cost }: Method): { readonly data: boolean; readonly gradients: boolean } => {
  const { backward, forward } = cost({ units: 1, layers: 1, quadrature: 1, seed: 0 })
  return { data: forward > 0, gradients: backward > 0 }
}
