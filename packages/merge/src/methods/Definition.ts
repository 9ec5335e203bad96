/**
 * The definition of a merge method: its name, version, sources and typed parameters, what it needs, and its arithmetic.
 *
 * Plain data beside the arithmetic, in the method's own file. Recipes, their JSON Schema, `hila methods` and the tables of
 * the README come from it; nothing here is run while weights stream.
 */
import type { Citation } from "@hila/core/Citation"
import type { AnyMethod, Method, Task } from "../engine/Method.ts"
import type { Parameters, ParamsOf, Values } from "./Parameters.ts"

export type { Default, Parameter, ParamsOf, Profile, Scalar, Values } from "./Parameters.ts"

/** Kinds of `WeightStatistics`; all but `gram` and `activation` take gradients to collect. */
type Kind = "fisher" | "saliency" | "gram" | "kronecker" | "activation"

/** Statistics files that a method needs, and how they reach it. */
export interface Statistics {
  /** Kinds that serve, the preferred one first. */
  readonly kinds: ReadonlyArray<Kind>
  readonly of: "models" | "base" | "both"
  /**
   * `elements`: a number per weight, as the extras of a block, the models' in their order and then the base's.
   * `columns`: a number per input channel, as the parameter `columns`. `equations`: tensors that have statistics are
   * solved before the others are merged.
   */
  readonly use: "elements" | "columns" | "equations"
}

/** A tensor's statistics by input channel, for methods whose statistics are of use `columns`. */
export interface Columns {
  /** By column, or by row where the tensor is stored as [in, out]; empty where nothing is known. */
  readonly columns: ReadonlyArray<number>
  readonly transposed: boolean
}

/** What a method says of itself. */
interface About {
  /** As recipes call it. */
  readonly name: string
  /**
   * Raise it when the results of the method change, here and in `names.ts`: above 1 it is part of the key of what the
   * method merged, so that results of older versions are not taken for its own.
   */
  readonly version: number
  /** One line that begins where "it …" ends: what the method does. */
  readonly summary: string
  readonly sources: ReadonlyArray<Citation>
  /** `none`: a base takes part as one of the models. */
  readonly base: "required" | "optional" | "none"
  /** Least and greatest number of models besides the base. */
  readonly models: readonly [least: number, greatest: number]
  /** Whether it works on differences to the base, so that unit coefficients and masks apply. */
  readonly taskVectors: boolean
  /** Whether it draws random numbers. */
  readonly random?: boolean
}

/** What a method says of values of its parameters `P`. */
interface Judgement<P> {
  /** Why these values cannot be used. */
  readonly refuse?: (values: P) => string | undefined
  /** Where the numbers are not mergekit 0.1.5's, for a tensor of this shape. */
  readonly departure?: (values: P, shape: ReadonlyArray<number>) => string | undefined
  /** Whether the equations of an embedding are solved too, for statistics of use `equations`. */
  readonly embedding?: (values: P) => boolean
}

/** A method as recipes see it. */
export interface Definition<P extends Parameters = Parameters> extends About, Judgement<Values> {
  readonly parameters: P
  /** The statistics files it needs. */
  readonly statistics?: Statistics
  /** The arithmetic for these parameters. */
  readonly method: (values: Values) => AnyMethod
}

/** A method that can do with parameters `P`, whatever its own state is. */
interface Arithmetic<P> extends Pick<Method<P>, "name" | "module" | "block" | "group" | "keptBytes"> {
  readonly start: (task: Task<P>) => unknown
  readonly passes: (task: Task<P>) => ReadonlyArray<unknown>
  readonly combine: Method<P, never, never>["combine"]
}

/** What reaches the arithmetic: its parameters, a seed where it draws, and statistics by column where it asks for them. */
type Given<P extends Parameters, R extends boolean, S extends Statistics> = ParamsOf<P> &
  ([R] extends [true] ? { readonly seed: number } : unknown) &
  ([S["use"]] extends ["columns"] ? Columns : unknown)

/**
 * A definition whose arithmetic takes exactly what its parameters say: a parameter that is renamed in one of the two places
 * does not compile.
 */
export const make = <
  const P extends Parameters,
  const R extends boolean = false,
  const S extends Statistics = Statistics,
>(
  described: About &
    Judgement<ParamsOf<P>> & {
      readonly parameters: P
      readonly random?: R
      readonly statistics?: S
      readonly method: (values: ParamsOf<P>) => Arithmetic<Given<P, R, S>>
    },
): Definition<P> =>
  // Values are checked by name, kind and range before they get here, and the engine never looks into a method's state.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the one place where a method's own types are left
  described as unknown as Definition<P>

/** A method without its types: parameters reach it as plain values, checked by name and kind. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the definition beside a method declares what it reads
export const untyped = <P, S, C>(method: Method<P, S, C>): AnyMethod => method as unknown as AnyMethod

/** Checked values of a definition's parameters, with their types. */
export const valuesOf = <P extends Parameters>(_: Definition<P>, values: Values): ParamsOf<P> =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- recipes check values by the definition's parameters
  values as ParamsOf<P>

/** Numbers per model. */
export const numbers = (values: Values, name: string): ReadonlyArray<number> => {
  const value = values[name]
  return Array.isArray(value) ? value.map(Number) : []
}

const size = (shape: ReadonlyArray<number>) => shape.reduce((product, extent) => product * extent, 1)

/** The number of scalars in a shape. */
export { size as elementsOf }
