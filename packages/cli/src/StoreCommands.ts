/**
 * Commands on what earlier runs left: `runs`, `diff`, `why`, `checkout`, `accept`, `gc` and `verify`.
 *
 * What they do lies in `StoreRuns`, which is loaded when one of them is called: a pipeline's start-up does not pay for it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, jobs, json, pipeline, remote, set, store } from "./Arguments.ts"

const work = Effect.promise(() => import("./StoreRuns.ts"))
const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

const run = (name: string) =>
  Argument.String(name).pipe(
    Argument.withDescription("A run as `hila runs` lists it; `last` and `previous` are the two latest"),
  )

/** `hila runs`. */
export const runs = Command.make("runs", { store, json, debug }, (given) =>
  Effect.flatMap(work, ({ runs }) => runs(given)),
).pipe(
  Command.withDescription("Lists earlier runs: when, with which options, what they computed"),
  Command.withExamples([{ command: "hila runs", description: "The latest is the last line" }]),
)

/** `hila diff`. */
export const diff = Command.make(
  "diff",
  {
    before: run("before").pipe(Argument.withDefault("previous")),
    after: run("after").pipe(Argument.withDefault("last")),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(work, ({ diff }) => diff(given)),
).pipe(
  Command.withDescription(
    "Says what differs between two runs: parameters, contents and metrics of every stage",
  ),
  Command.withExamples([{ command: "hila diff previous last", description: "The two latest runs" }]),
)

/** `hila why`. */
export const why = Command.make(
  "why",
  {
    what: Argument.String("file").pipe(
      Argument.withDescription("A file, wherever it lies, or the first digits of a digest"),
    ),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(work, ({ why }) => why(given)),
).pipe(
  Command.withDescription("Traces a produced file back through every stage to its sources"),
  Command.withExamples([
    {
      command: "hila why hila-merged/model.safetensors",
      description: "What made this file, after `hila checkout hila/merged hila-merged`",
    },
  ]),
)

/** `hila checkout`. */
export const checkout = Command.make(
  "checkout",
  {
    output: Argument.String("output").pipe(
      Argument.withDescription("An output of a pipeline that has run: report, or hila/report"),
    ),
    to: Argument.String("path").pipe(Argument.withDescription("A new file or directory")),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(work, ({ checkout }) => checkout(given)),
).pipe(
  Command.withDescription("Copies an output out of the store, as files that may be changed"),
  Command.withExamples([
    {
      command: "hila checkout hila/merged hila-merged",
      description: "The merged checkpoint of `hila run pipelines/hila.ts`",
    },
  ]),
)

/** `hila accept`. */
export const accept = Command.make(
  "accept",
  {
    pipeline,
    stage: Argument.String("stage").pipe(
      Argument.withDescription(
        "A stage's name or title, or how its title begins; all that are hit* by default",
      ),
      Argument.variadic(),
    ),
    set,
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(work, ({ accept }) => accept(given)),
).pipe(
  Command.withDescription(
    "Says that a change in a stage's code does not change its result: hit* becomes hit",
  ),
  Command.withExamples([
    { command: "hila accept pipelines/hila.ts golden", description: "All stages named golden" },
    { command: "hila accept pipelines/hila.ts", description: "Every stage that the plan calls hit*" },
  ]),
)

/** `hila gc`. */
export const gc = Command.make(
  "gc",
  {
    runs: Flag.Int("runs").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("Keeps what the last n runs used, besides the outputs; 10 by default"),
      Flag.withSchema(Count),
      Flag.withDefault(10),
    ),
    grace: Flag.Int("grace").pipe(
      Flag.withMetavar("minutes"),
      Flag.withDescription("Leaves alone what is younger; 60 by default"),
      Flag.withSchema(Count),
      Flag.withDefault(60),
    ),
    yes: Flag.Boolean("yes").pipe(
      Flag.withDescription("Removes it; without, only says what would go"),
      Flag.withDefault(false),
    ),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(work, ({ gc }) => gc(given)),
).pipe(
  Command.withDescription("Lists what no output and no recent run needs, what it takes and what it cost"),
  Command.withExamples([
    { command: "hila gc", description: "Only says what could go" },
    { command: "hila gc --runs 3 --yes", description: "Removes what the last three runs did not use" },
  ]),
)

/** `hila verify`. */
export const verify = Command.make("verify", { store, json, debug }, (given) =>
  Effect.flatMap(work, ({ verify }) => verify(given)),
).pipe(
  Command.withDescription("Hashes the whole store again, and sets aside what is damaged"),
  Command.withExamples([{ command: "hila verify", description: "Exit code 1 if anything is damaged" }]),
)

/** `hila sweep`. */
export const sweep = Command.make(
  "sweep",
  {
    pipeline,
    over: Flag.String("over").pipe(
      Flag.withMetavar("name=a,b,c"),
      Flag.withDescription("Values of an option; several give every combination"),
      Flag.atLeast(1),
    ),
    set,
    store,
    remote,
    jobs,
    json,
    debug,
  },
  (given) => Effect.flatMap(work, ({ sweep }) => sweep(given)),
).pipe(
  Command.withDescription("Runs a pipeline over values of its options, and prints one table of metrics"),
  Command.withExamples([
    {
      command: "hila sweep pipelines/hila.ts --over density=0.2,0.4 --over temperature=0.5,1",
      description: "Four variants; what they share is computed once",
    },
  ]),
)

const serve = Command.make(
  "serve",
  {
    store,
    host: Flag.String("host").pipe(
      Flag.withMetavar("address"),
      Flag.withDescription("Where to listen; this machine alone by default, any other needs a token"),
      Flag.withDefault("127.0.0.1"),
    ),
    port: Flag.Int("port").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("8788 by default; 0 takes any that is free"),
      Flag.withSchema(Count),
      Flag.withDefault(8788),
    ),
    debug,
  },
  (given) => Effect.flatMap(work, ({ serve }) => serve(given)),
).pipe(
  Command.withDescription(
    "Serves a store to other processes; HILA_STORE_TOKEN in the environment is what both sides have to know",
  ),
  Command.withExamples([
    { command: "hila store serve --store /data/hila", description: "On this machine, at port 8788" },
    {
      command: "hila run pipelines/hila.ts --remote http://127.0.0.1:8788",
      description: "Use it, in another terminal",
    },
  ]),
)

const group = Command.make("store").pipe(
  Command.withDescription("Shares a store"),
  Command.withSubcommands([serve]),
  Command.withExamples([{ command: "hila store serve", description: "The one in .hila, at port 8788" }]),
)
/** `hila store`. */
export { group as store }
