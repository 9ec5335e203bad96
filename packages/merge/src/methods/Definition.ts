/**
 * What a recipe has to know about a method: its parameters, its models, and how they become the engine's task.
 *
 * Plain data beside the arithmetic, in the method's own file. Nothing here is run while weights stream.
 */
import type { AnyMethod, Method } from "../engine/Method.ts"

/** Whose numbers a recipe asks for: the existing merge tool's, or those of the methods' papers. */
export type Profile = "tool" | "paper"

/** A value of a parameter, after filters and gradients. */
export type Scalar = number | boolean | string

/** One value, or one for each profile; undefined: none. */
export type Default = Scalar | Readonly<Record<Profile, Scalar>> | undefined

/** A parameter of a method. */
export interface Parameter {
  /** `model`: one value per model; `merge`: one for all. */
  readonly level: "model" | "merge"
  readonly kind: "number" | "boolean" | ReadonlyArray<string>
  /** Without a default the recipe has to give it. */
  readonly default?: Default
  /** Least and greatest number, both allowed. */
  readonly range?: readonly [least: number, greatest: number]
  /** What `true` and `false` mean where the kind is a list of words. */
  readonly flags?: Readonly<Record<"true" | "false", Default>>
  /** Why a value is accepted and has no effect. */
  readonly ignored?: string
  readonly description: string
}

/** A tensor's parameters: a number for each model, or one for the merge. */
export type Values = Readonly<Record<string, Scalar | ReadonlyArray<Scalar>>>

/** Statistics files that a method needs, and how they reach it. */
export interface Statistics {
  /** Kinds of `WeightStatistics` that serve. */
  readonly kinds: ReadonlyArray<"fisher" | "saliency" | "gram" | "kronecker" | "activation">
  readonly of: "models" | "base" | "both"
  /**
   * `elements`: a number per weight, as the extras of a block, the models' in their order and then the base's.
   * `columns`: a number per input channel, as the parameter `columns`. `equations`: tensors that have statistics are
   * solved before the others are merged.
   */
  readonly use: "elements" | "columns" | "equations"
}

/** A method as recipes see it. */
export interface Definition {
  readonly parameters: Readonly<Record<string, Parameter>>
  /** `none`: a base takes part as one of the models. */
  readonly base: "required" | "optional" | "none"
  /** Least and greatest number of models besides the base. */
  readonly models: readonly [least: number, greatest: number]
  /** Whether it works on differences to the base, so that unit coefficients and masks apply. */
  readonly taskVectors: boolean
  /** The statistics files it needs. */
  readonly statistics?: Statistics
  /** Whether it draws random numbers. */
  readonly random?: boolean
  /** The arithmetic for these parameters. */
  readonly method: (values: Values) => AnyMethod
  /** Why these values cannot be used. */
  readonly refuse?: (values: Values) => string | undefined
  /** Where the numbers are not mergekit 0.1.5's, for a tensor of this shape. */
  readonly departure?: (values: Values, shape: ReadonlyArray<number>) => string | undefined
}

/** A method without its types: parameters reach it as the plain values of its definition, checked by name and kind. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the definition beside a method declares what it reads
export const untyped = <P, S, C>(method: Method<P, S, C>): AnyMethod => method as unknown as AnyMethod

/** Numbers per model. */
export const numbers = (values: Values, name: string): ReadonlyArray<number> => {
  const value = values[name]
  return Array.isArray(value) ? value.map(Number) : []
}

const size = (shape: ReadonlyArray<number>) => shape.reduce((product, extent) => product * extent, 1)

/** The number of scalars in a shape. */
export { size as elementsOf }
