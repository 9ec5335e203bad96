/**
 * `hila eval` and `hila tasks`: their arguments, flags and help.
 *
 * What they do lies in `EvalRuns`, which is loaded when one of them is called: a pipeline's start-up does not pay for it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json } from "./Arguments.ts"

const runs = Effect.promise(() => import("./EvalRuns.ts"))

const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const count = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("n"),
    Flag.withDescription(description),
    Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
    Flag.optional,
  )

const include = Flag.String("include").pipe(
  Flag.withMetavar("directory"),
  Flag.withDescription("A directory of task files beside Hila's own; may be given several times"),
  Flag.atLeast(0),
)

const format = Flag.Literals("format", ["table", "markdown", "csv"]).pipe(
  Flag.withDescription("How scores are printed"),
  Flag.withDefault("table"),
)

const compare = Command.make(
  "compare",
  {
    first: Argument.String("a.json").pipe(Argument.withDescription("A results file")),
    second: Argument.String("b.json").pipe(Argument.withDescription("Another, on the same documents")),
    format,
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ compare }) => compare(given)),
).pipe(
  Command.withDescription(
    "Compares two models document by document: differences with intervals, exact tests, Holm's adjustment, detectable difference",
  ),
  Command.withExamples([
    {
      command:
        "hila eval compare .hila/eval/fixtures__micro__math/results_*.json .hila/eval/fixtures__micro__base/results_*.json",
      description: "Files whose paths `hila eval` printed last",
    },
  ]),
)

/** `hila eval`. */
export const evaluate = Command.make(
  "eval",
  {
    model: Argument.String("model").pipe(
      Argument.withDescription(
        "A checkpoint's directory, or a model of the Hub: org/name or org/name@revision; either with +adapter",
      ),
    ),
    tasks: Flag.String("tasks").pipe(
      Flag.withMetavar("a,b"),
      Flag.withDescription("Tasks, groups and tags by name, or paths of task files"),
    ),
    include,
    data: text("data", "directory", "Where local copies of data sets lie"),
    limit: Flag.Finite("limit").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("Only the first n documents of each task, or that share of them below 1"),
      Flag.withSchema(Schema.Finite.check(Schema.isGreaterThan(0))),
      Flag.optional,
    ),
    sample: count("sample", "Only n documents of each task, drawn by --seed in equal shares of the answers"),
    seed: count("seed", "Seed of --sample, with it alone; 0 by default"),
    numFewshot: count("num-fewshot", "Examples before each document, where the task does not say 0"),
    chat: Flag.Boolean("chat").pipe(
      Flag.withDescription("Asks in conversations, by the model's own chat template"),
      Flag.withDefault(false),
    ),
    multiturn: Flag.Boolean("multiturn").pipe(
      Flag.withDescription("With --chat: examples before a document are turns of their own"),
      Flag.withDefault(false),
    ),
    system: text("system", "text", "Said before everything else; with --chat as the system"),
    against: Flag.String("against").pipe(
      Flag.withMetavar("file"),
      Flag.withDescription(
        "Texts the model may have seen (.txt, .jsonl, .json, .csv, .parquet): documents are looked for in them; may be given several times",
      ),
      Flag.atLeast(0),
    ),
    maxLength: count("max-length", "Most tokens the model reads at once; its own limit by default"),
    bootstrap: count("bootstrap-iters", "Replicates for standard errors; 100000 by default, 0 for no errors"),
    allowCode: Flag.Boolean("allow-code").pipe(
      Flag.withDescription("Lets tasks such as humaneval run the programs a model writes, in a sandbox"),
      Flag.withDefault(false),
    ),
    output: Flag.String("output").pipe(
      Flag.withMetavar("directory"),
      Flag.withDescription("Where results go; .hila/eval by default"),
      Flag.withDefault(".hila/eval"),
    ),
    format,
    json,
    debug,
  },
  (given) =>
    Effect.flatMap(runs, ({ evaluate }) =>
      evaluate({
        ...given,
        data: Option.getOrUndefined(given.data),
        limit: Option.getOrUndefined(given.limit),
        sample: Option.getOrUndefined(given.sample),
        seed: Option.getOrUndefined(given.seed),
        numFewshot: Option.getOrUndefined(given.numFewshot),
        system: Option.getOrUndefined(given.system),
        maxLength: Option.getOrUndefined(given.maxLength),
        bootstrap: Option.getOrUndefined(given.bootstrap),
      }),
    ),
).pipe(
  Command.withDescription("Scores a model on tasks; a run that was stopped goes on where it was"),
  Command.withSubcommands([compare]),
  Command.withExamples([
    {
      command: "hila eval fixtures/micro/math --tasks micro_math,micro_code",
      description: "Two tasks that need no data",
    },
    {
      command: "hila eval merged --tasks mmlu --data ~/data --sample 20 --seed 1",
      description: "20 documents of every subject",
    },
    {
      command:
        "hila eval compare .hila/eval/fixtures__micro__math/results_*.json .hila/eval/fixtures__micro__base/results_*.json",
      description: "Two models, document by document",
    },
  ]),
)

const list = Command.make("list", { include, json, debug }, (given) =>
  Effect.flatMap(runs, ({ listTasks }) => listTasks(given)),
).pipe(
  Command.withDescription("Names every task and group, with what it asks"),
  Command.withExamples([{ command: "hila tasks list", description: "A name, a kind and a note each" }]),
)

const show = Command.make(
  "show",
  {
    task: Argument.String("task").pipe(Argument.withDescription("A task or group, or a task file's path")),
    include,
    data: text("data", "directory", "Where local copies of data sets lie; shows the first document with it"),
    json,
    debug,
  },
  (given) =>
    Effect.flatMap(runs, ({ showTask }) => showTask({ ...given, data: Option.getOrUndefined(given.data) })),
).pipe(
  Command.withDescription("Shows a task's settings, and its first request where there are data"),
  Command.withExamples([
    { command: "hila tasks show arc_easy", description: "Its settings" },
    {
      command: "hila tasks show arc_easy --data ~/data",
      description: "Also the first request, from a local copy of the data",
    },
  ]),
)

/** `hila tasks`. */
export const tasks = Command.make("tasks").pipe(
  Command.withDescription("Lists and shows evaluation tasks"),
  Command.withSubcommands([list, show]),
  Command.withExamples([
    { command: "hila tasks list", description: "Every task" },
    { command: "hila tasks show micro_math", description: "One of them" },
  ]),
)
