/**
 * Parameters of methods as data, and the types that follow from them.
 *
 * A method states its parameters once; what its arithmetic receives is inferred from that statement, so a parameter that
 * is renamed, or that changes its kind, in one of the two places alone does not compile.
 */

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

/** Parameters by the name that a recipe gives them. */
export type Parameters = Readonly<Record<string, Parameter>>

type ValueOf<Kind extends Parameter["kind"]> = Kind extends "number"
  ? number
  : Kind extends "boolean"
    ? boolean
    : Kind extends ReadonlyArray<infer Word>
      ? Word
      : never

/** What the arithmetic of a method receives: a value for each parameter, or one for each model in the models' order. */
export type ParamsOf<P extends Parameters> = {
  readonly [Name in keyof P]: P[Name]["level"] extends "model"
    ? ReadonlyArray<ValueOf<P[Name]["kind"]>>
    : ValueOf<P[Name]["kind"]>
}

/** A tensor's parameters where the method is not known: a value for each model, or one for the merge. */
export type Values = Readonly<Record<string, Scalar | ReadonlyArray<Scalar>>>

/** The default under a profile; undefined where the recipe has to give the value. */
export const chosen = (value: Default, profile: Profile): Scalar | undefined =>
  typeof value === "object" ? value[profile] : value
