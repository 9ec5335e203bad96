/**
 * Types whose parameters are forgotten: the one place of this package where `any` is allowed.
 *
 * The engine moves values between stages without knowing their types; the public constructors have checked them.
 */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Artifact } from "../Artifact.ts"

export type AnyArtifact = Artifact<any>

/** The type of a parameter schema's fields, whatever they are. */
export type AnyFields = Schema.Struct.Fields

/** A stage body whose types are forgotten. */
export type AnyBody = (inputs: any, params: any) => Effect.Effect<any, any, any>

/** Gives a checked function the call signature its constructor promises. */
export const promise = <Promised>(value: unknown): Promised => value as any
