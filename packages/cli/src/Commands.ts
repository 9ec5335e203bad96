/** The command tree: its arguments, flags and help. */
import { type Event, Events, Explain, Graph, Pipeline, Plan, Run } from "@hila/core"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import {
  chosen,
  debug,
  jobs,
  json,
  noStage,
  open,
  outputs,
  pipeline,
  planOf,
  remote,
  set,
  store,
  strict,
} from "./Arguments.ts"
import { StageError } from "./CliError.ts"
import * as CollabCommands from "./CollabCommands.ts"
import * as Display from "./Display.ts"
import * as EvalCommands from "./EvalCommands.ts"
import * as GoldenCommands from "./GoldenCommands.ts"
import * as MaskCommands from "./MaskCommands.ts"
import * as MergeCommands from "./MergeCommands.ts"
import * as ModelCommands from "./ModelCommands.ts"
import * as Outputs from "./Outputs.ts"
import * as PipelineFile from "./PipelineFile.ts"
import * as ReportCommands from "./ReportCommands.ts"
import * as ScoreCommands from "./ScoreCommands.ts"
import * as StatisticsCommands from "./StatisticsCommands.ts"
import * as StoreCommands from "./StoreCommands.ts"
import * as Stores from "./Stores.ts"
import { table } from "./Tables.ts"

const run = Command.make(
  "run",
  {
    pipeline,
    outputs,
    set,
    store,
    remote,
    jobs,
    keepGoing: Flag.Boolean("keep-going").pipe(
      Flag.withDescription("After a failure, goes on with everything that does not depend on it"),
      Flag.withDefault(false),
    ),
    strict,
    json,
    debug,
  },
  Effect.fnUntraced(function* (given) {
    const { loaded, nodes, values: options } = yield* open(given)
    const wanted = yield* chosen(nodes, given.outputs)
    const screen = yield* Effect.acquireRelease(
      Effect.sync(() => Display.standard(given.json)),
      (opened) => Effect.sync(opened.close),
    )
    const failed = new Map<string, string>()
    const measured: Record<string, Readonly<Record<string, number>> | undefined> = {}
    const emit = (event: Event) =>
      Effect.sync(() => {
        if (event._tag === "Failed") failed.set(event.message, event.node)
        if (event._tag === "Output") measured[event.output] = event.measured
        screen.emit(event)
      })
    const values = yield* Run.outputs(wanted, {
      pipeline: loaded.name,
      set: options,
      file: given.pipeline,
      keepGoing: given.keepGoing,
      strict: given.strict,
      ...Option.match(given.jobs, { onNone: () => ({}), onSome: (n) => ({ jobs: n }) }),
    }).pipe(
      Effect.mapError((cause) => StageError.of(cause, failed)),
      Effect.provideService(Events, { emit }),
      Effect.provide(Layer.mergeAll(loaded.layer, Stores.layer(given))),
    )
    yield* Effect.sync(screen.close)
    yield* Console.log(given.json ? Outputs.toJson(wanted, values) : Outputs.show(wanted, values, measured))
  }, Effect.scoped),
).pipe(
  Command.withDescription("Makes a pipeline's outputs, computing only what changed, and prints them"),
  Command.withExamples([
    { command: "hila run pipelines/hila.ts", description: "Make and print every output" },
    {
      command: "hila run pipelines/hila.ts report --set density=0.4",
      description: "One output, with an option",
    },
  ]),
)

const plan = Command.make(
  "plan",
  { pipeline, outputs, set, store, remote, strict, json, debug },
  Effect.fnUntraced(function* (given) {
    const made = yield* Effect.provide(planOf(given), Stores.layer(given))
    yield* Console.log(given.json ? JSON.stringify(Plan.toJson(made)) : Plan.render(made))
  }),
).pipe(
  Command.withDescription("Says what a run would do and why: hit, run, or waits; does nothing"),
  Command.withExamples([
    { command: "hila plan pipelines/hila.ts --set density=0.3", description: "What one option changes" },
  ]),
)

const explain = Command.make(
  "explain",
  {
    pipeline,
    node: Argument.String("stage").pipe(
      Argument.withDescription(
        "A stage's name or title, or how its title begins: prune, prune math; all stages by default",
      ),
      Argument.variadic(),
    ),
    set,
    store,
    remote,
    strict,
    json,
    debug,
  },
  Effect.fnUntraced(function* (given) {
    const made = yield* Effect.provide(planOf(given), Stores.layer(given))
    const name = given.node.join(" ")
    const steps = name === "" ? made : Explain.find(made, name)
    if (steps.length === 0 && name !== "") return yield* noStage(made, name)
    yield* Console.log(given.json ? JSON.stringify(Plan.toJson(steps)) : steps.map(Explain.render).join("\n"))
  }),
).pipe(
  Command.withDescription(
    "Says why stages are what the plan calls them, compared with their nearest earlier run",
  ),
  Command.withExamples([{ command: "hila explain pipelines/hila.ts prune math", description: "One stage" }]),
)

const options = Command.make(
  "options",
  { pipeline, json, debug },
  Effect.fnUntraced(function* (given) {
    const loaded = yield* PipelineFile.load(given.pipeline)
    const described = Object.entries(loaded.options).map(([name, { default: value, description }]) => ({
      name,
      default: value,
      description,
    }))
    // A pipeline may need some option before it has outputs.
    const built = Option.getOrElse(yield* Effect.option(Pipeline.build(loaded)), () => ({}))
    const made = Object.keys(built)
    if (given.json)
      return yield* Console.log(JSON.stringify({ pipeline: loaded.name, options: described, outputs: made }))
    const rows = described.map((each) => [each.name, JSON.stringify(each.default), each.description])
    if (rows.length > 0) yield* Console.log(table(rows))
    return yield* Console.log(`outputs: ${made.join(", ") || "none without options"}`)
  }),
).pipe(
  Command.withDescription("Lists what --set can set, with defaults, and what the pipeline makes"),
  Command.withExamples([
    { command: "hila options pipelines/hila.ts", description: "Before changing anything" },
  ]),
)

const graph = Command.make(
  "graph",
  {
    pipeline,
    mermaid: Flag.Boolean("mermaid").pipe(
      Flag.withDescription("As a Mermaid flow chart (the default)"),
      Flag.withDefault(true),
    ),
    dot: Flag.Boolean("dot").pipe(
      Flag.withDescription("In the language of Graphviz"),
      Flag.withDefault(false),
    ),
    set,
    debug,
  },
  Effect.fnUntraced(function* (given) {
    const { nodes } = yield* open(given)
    yield* Console.log(given.dot ? Graph.dot(nodes) : Graph.mermaid(nodes))
  }),
).pipe(
  Command.withDescription("Draws the pipeline"),
  Command.withExamples([
    { command: "hila graph pipelines/hila.ts > hila.mmd", description: "Keep the chart" },
  ]),
)

/** The whole command. */
export const hila = Command.make("hila").pipe(
  Command.withDescription("Merges language models by pipelines in which only what changed is computed."),
  Command.withSubcommands([
    run,
    plan,
    explain,
    options,
    graph,
    StoreCommands.runs,
    StoreCommands.diff,
    ReportCommands.report,
    StoreCommands.sweep,
    StoreCommands.why,
    StoreCommands.checkout,
    StoreCommands.accept,
    StoreCommands.gc,
    StoreCommands.verify,
    StoreCommands.store,
    MergeCommands.merge,
    MergeCommands.planMerge,
    MergeCommands.inspect,
    MergeCommands.compare,
    MergeCommands.extractLora,
    MergeCommands.push,
    MaskCommands.masks,
    EvalCommands.evaluate,
    EvalCommands.tasks,
    GoldenCommands.golden,
    ScoreCommands.score,
    ScoreCommands.scores,
    StatisticsCommands.statistics,
    CollabCommands.collab,
    CollabCommands.serve,
    ModelCommands.generate,
    ModelCommands.exportTo,
  ]),
  Command.withExamples([
    { command: "hila run pipelines/hila.ts", description: "Run a pipeline" },
    { command: "hila plan pipelines/hila.ts --set density=0.3", description: "See what a change would cost" },
  ]),
)
