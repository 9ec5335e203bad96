/** The arguments and flags that commands share, and what they open. */
import { Explain, Node, Pipeline, Plan, type Store } from "@hila/core"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import { UsageError } from "./CliError.ts"
import * as PipelineFile from "./PipelineFile.ts"

export const pipeline = Argument.String("pipeline.ts").pipe(
  Argument.withDescription("A module whose default export is a pipeline"),
)
export const outputs = Argument.String("output").pipe(
  Argument.withDescription("Outputs of the pipeline; all of them by default"),
  Argument.variadic(),
)
export const set = Flag.String("set").pipe(
  Flag.withMetavar("name=value"),
  Flag.withDescription("Sets an option of the pipeline; may be given several times"),
  Flag.atLeast(0),
)
export const store = Flag.String("store").pipe(
  Flag.withMetavar("directory"),
  Flag.withDescription("Where results are kept; .hila by default"),
  Flag.withDefault(".hila"),
)
export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Prints JSON for programs instead of text for people"),
  Flag.withDefault(false),
)
export const debug = Flag.Boolean("debug").pipe(
  Flag.withDescription("Shows where in the code an error arose"),
  Flag.withDefault(false),
)
export const jobs = Flag.Int("jobs").pipe(
  Flag.withMetavar("n"),
  Flag.withDescription("Stages that run at the same time; the number of processors by default"),
  Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(0))),
  Flag.optional,
)

export const remote = Flag.String("remote").pipe(
  Flag.withMetavar("url"),
  Flag.withDescription("A store to share results with, see: hila store serve --help"),
  Flag.optional,
)
export const strict = Flag.Boolean("strict").pipe(
  Flag.withDescription("Runs a stage again if its code has changed, whatever its version says"),
  Flag.withDefault(false),
)

/** `name=value` arguments as a record. */
export const optionsOf = Effect.fnUntraced(function* (given: ReadonlyArray<string>) {
  const values: Record<string, string> = {}
  for (const text of given) {
    const at = text.indexOf("=")
    if (at < 1) return yield* new UsageError({ problem: `--set ${text}: expected name=value` })
    values[text.slice(0, at)] = text.slice(at + 1)
  }
  return values
})

/** The pipeline of a file and its nodes under the options given. */
export const open = Effect.fnUntraced(function* (given: {
  readonly pipeline: string
  readonly set: ReadonlyArray<string>
}) {
  const values = yield* optionsOf(given.set)
  const loaded = yield* PipelineFile.load(given.pipeline)
  return { loaded, values, nodes: yield* Pipeline.build(loaded, values) }
})

/** The outputs with some names, all if there are none. */
export const chosen = Effect.fnUntraced(function* (
  nodes: Readonly<Record<string, Node.AnyNode>>,
  names: ReadonlyArray<string>,
) {
  const unknown = names.find((name) => !Object.hasOwn(nodes, name))
  if (unknown !== undefined) {
    const problem = `there is no output "${unknown}"; the pipeline has ${Object.keys(nodes).join(", ")}`
    return yield* new UsageError({ problem })
  }
  return names.length === 0
    ? nodes
    : Object.fromEntries(Object.entries(nodes).filter(([name]) => names.includes(name)))
})

/** The plan of a pipeline; its services are only started if a key depends on one. */
export const planOf = Effect.fnUntraced(function* (given: {
  readonly pipeline: string
  readonly set: ReadonlyArray<string>
  readonly strict: boolean
  /** All unless given. */
  readonly outputs?: ReadonlyArray<string>
}): Effect.fn.Return<Plan.Plan, unknown, Store> {
  const { loaded, nodes: all } = yield* open(given)
  const nodes = yield* chosen(all, given.outputs ?? [])
  const isNeeded = Node.stages(Object.values(nodes)).some(({ stage }) => stage.environment.length > 0)
  const layer: Layer.Layer<unknown, unknown> = isNeeded ? loaded.layer : nothing
  return yield* Effect.provide(Plan.make(nodes, { strict: given.strict }), layer)
})

/** The mistake of naming a stage that a plan does not have. */
export const noStage = (plan: Plan.Plan, name: string) =>
  new UsageError({ problem: Explain.unknown(plan, name) })

/** No service, where the type asks for any: no stage of the graph declares one. */
const nothing: Layer.Layer<unknown> = Layer.succeedContext(Context.empty() as Context.Context<unknown>)
