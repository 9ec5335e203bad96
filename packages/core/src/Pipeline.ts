/**
 * Pipelines: a name, options a user can set, the nodes they lead to, and the layer that runs them.
 *
 * A pipeline file exports one as its default. Options are decoded by their schemas; the layer has to provide exactly
 * what the graph needs, and a missing service is a compile error.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { ParamsError, PipelineError } from "./CoreError.ts"
import { checkOptions, checkOutputs, guarded, placeOf, unknownOption } from "./internal/options.ts"
import { promise } from "./internal/erased.ts"
import type * as Node from "./Node.ts"

const TypeId = "~@hila/core/Pipeline"

/** A value a user can set with `--set name=value`. */
export interface Option<A> {
  readonly schema: Schema.ConstraintCodec<A, unknown>
  readonly default: A
  readonly description: string
}

type Outputs = Readonly<Record<string, Node.AnyNode>>
type AnyOptions = Readonly<Record<string, Option<never> | Option<unknown>>>
type OptionValues<O> = { readonly [K in keyof O]: O[K] extends Option<infer A> ? A : never }

/** A pipeline whose options and services are checked; what the command line runs. */
export interface Pipeline {
  readonly [TypeId]: typeof TypeId
  readonly name: string
  readonly options: Readonly<Record<string, { readonly default: unknown; readonly description: string }>>
  readonly build: (
    set: Readonly<Record<string, string>>,
  ) => Effect.Effect<Outputs, PipelineError | ParamsError>
  /** Everything its stages need besides the store. */
  readonly layer: Layer.Layer<unknown, unknown>
}

/**
 * An option of a pipeline: schema, default, and one line for people.
 *
 * @example
 * Pipeline.option(Schema.Finite, 0.5, "share of each task vector that is kept").default // => 0.5
 */
export const option = <A>(
  schema: Schema.ConstraintCodec<A, unknown>,
  defaultValue: A,
  description: string,
): Option<A> => ({ schema, default: defaultValue, description })

/**
 * A pipeline from its name, options, graph and layer.
 *
 * `build` is called with the options' values and returns the outputs by name. `layer` is
 * `Layer.empty` where the stages need nothing but the store.
 */
export const make = <
  O extends AnyOptions,
  const Built extends Readonly<Record<string, Node.Like>>,
  E = never,
>(definition: {
  readonly name: string
  readonly options?: O
  readonly build: (options: OptionValues<O>) => Built
  readonly layer: Layer.Layer<Node.ServicesOf<Built[keyof Built]>, E>
}): Pipeline => {
  checkOptions(definition.name, definition.options ?? {})
  const options: Readonly<Record<string, Option<unknown>>> = promise(definition.options ?? {})
  return Object.freeze({
    [TypeId]: TypeId,
    name: definition.name,
    options,
    layer: promise<Layer.Layer<unknown, unknown>>(definition.layer),
    build: Effect.fnUntraced(function* (set: Readonly<Record<string, string>>) {
      const values = yield* optionValues(definition.name, options, set)
      return yield* Effect.try({
        try: (): Outputs => {
          const built = definition.build(promise(guarded(definition.name, values)))
          checkOutputs(definition.name, built)
          return promise(built)
        },
        catch: (cause) =>
          cause instanceof ParamsError || cause instanceof PipelineError
            ? cause
            : new PipelineError({
                pipeline: definition.name,
                problem: `${oneLine(cause)}${placeOf(cause)}`,
              }),
      })
    }),
  })
}

/** Whether a value is a pipeline, of this copy of the package or another. */
export const isPipeline = (value: unknown): value is Pipeline =>
  typeof value === "object" && value !== null && TypeId in value

/** The nodes of a pipeline under options given as text. */
export const build = (
  pipeline: Pipeline,
  set: Readonly<Record<string, string>> = {},
): Effect.Effect<Outputs, PipelineError | ParamsError> => pipeline.build(set)

const oneLine = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).replaceAll(/\s*\n\s*/g, " ")

const optionValues = Effect.fnUntraced(function* (
  pipeline: string,
  options: Readonly<Record<string, Option<unknown>>>,
  set: Readonly<Record<string, string>>,
) {
  const values: Record<string, unknown> = Object.fromEntries(
    Object.entries(options).map(([name, found]) => [name, found.default]),
  )
  for (const [name, text] of Object.entries(set)) {
    const found = Object.hasOwn(options, name) ? options[name] : undefined
    if (found === undefined) {
      const problem = unknownOption(name, Object.keys(options))
      return yield* new PipelineError({ pipeline, problem })
    }
    values[name] = yield* Effect.mapError(
      decode(found.schema, text),
      (cause) => new PipelineError({ pipeline, problem: `option ${name}=${text}: ${oneLine(cause)}` }),
    )
  }
  return values
})

/** Text as a value: as JSON where that fits the schema, else as the text itself. */
const decode = (schema: Schema.ConstraintCodec<unknown, unknown>, text: string) => {
  const from = Schema.decodeUnknownEffect(Schema.toCodecJson(schema))
  return Effect.try({ try: (): unknown => JSON.parse(text), catch: () => "not JSON" as const }).pipe(
    Effect.flatMap((json) => from(json)),
    Effect.catch((first) => Effect.mapError(from(text), (second) => (first === "not JSON" ? second : first))),
  )
}
