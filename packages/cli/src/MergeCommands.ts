/**
 * `hila merge`, `plan-merge`, `inspect`, `compare`, `extract-lora` and `push`: their arguments, flags and help.
 *
 * What they do lies in `MergeRuns`, which is loaded when one of them is called: a pipeline's start-up does not pay for it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json } from "./Arguments.ts"

const runs = Effect.promise(() => import("./MergeRuns.ts"))

const recipe = Argument.String("recipe.yml").pipe(
  Argument.withDescription(
    "A recipe; its paths start from its own directory, else from the working directory",
  ),
)
const checkpoint = (name: string, description: string) =>
  Argument.String(name).pipe(Argument.withDescription(description))
const aModel = "A checkpoint's directory, or a model of the Hub: org/name or org/name@revision"

const threads = Flag.Int("threads").pipe(
  Flag.withMetavar("n"),
  Flag.withDescription("Threads that compute; by default one per processor, none for small models"),
  Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
  Flag.optional,
)

const accept = Flag.String("accept").pipe(
  Flag.withMetavar("tokens,architecture"),
  Flag.withDescription(
    "Differences of meaning between models that are merged all the same and told, as accept in the recipe",
  ),
  Flag.optional,
)

const directory = Argument.String("output").pipe(
  Argument.withDescription("A new or empty directory for the merged checkpoint"),
  Argument.optional,
)

/** `hila merge`. */
export const merge = Command.make(
  "merge",
  {
    recipe: Argument.optional(recipe),
    directory,
    threads,
    shard: Flag.String("shard-size").pipe(
      Flag.withMetavar("5GB"),
      Flag.withDescription("Bytes of weights per file (kB, MB, GB); one file by default"),
      Flag.optional,
    ),
    skipDigests: Flag.Boolean("skip-digests").pipe(
      Flag.withDescription(
        "Leaves the sha256 of the inputs out of the card, and with it one reading of them",
      ),
      Flag.withDefault(false),
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Stops after pre-flight, as plan-merge does: reads no weight and writes nothing"),
      Flag.withDefault(false),
    ),
    schema: Flag.Boolean("schema").pipe(
      Flag.withDescription("Prints the JSON Schema of recipes, for editors"),
      Flag.withDefault(false),
    ),
    accept,
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ merge }) => merge(given)),
).pipe(
  Command.withDescription(
    "Merges models by a recipe: checks everything first, streams, checks what it wrote",
  ),
  Command.withExamples([
    { command: "hila merge fixtures/recipe.yml merged", description: "Merge into the directory merged" },
    { command: "hila merge --schema > recipe.schema.json", description: "For completion in an editor" },
  ]),
)

/** `hila plan-merge`. */
export const planMerge = Command.make(
  "plan-merge",
  { recipe, directory, threads, accept, json, debug },
  (given) => Effect.flatMap(runs, ({ planMerge }) => planMerge(given)),
).pipe(
  Command.withDescription(
    "Says what a merge would do, need and depart from; reads no weight and writes nothing",
  ),
  Command.withExamples([
    { command: "hila plan-merge fixtures/recipe.yml", description: "The pre-flight table" },
  ]),
)

/** `hila inspect`. */
export const inspect = Command.make(
  "inspect",
  {
    model: checkpoint("model", aModel),
    strict: Flag.Boolean("strict").pipe(
      Flag.withDescription("Looks at every weight, and fails if anything is odd"),
      Flag.withDefault(false),
    ),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ inspect }) => inspect(given)),
).pipe(
  Command.withDescription(
    "Says what a checkpoint is: tensors, dtypes, parameters by part, vocabulary, oddities",
  ),
  Command.withExamples([
    { command: "hila inspect fixtures/micro/math", description: "Reads headers only" },
    {
      command: "hila inspect merged --strict",
      description: "Exit code 2 if a weight is NaN or anything else is odd",
    },
  ]),
)

/** `hila compare`. */
export const compare = Command.make(
  "compare",
  {
    first: checkpoint("a", aModel),
    second: checkpoint("b", "Another with the same tensors"),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ compare }) => compare(given)),
).pipe(
  Command.withDescription("Says how far two checkpoints are apart: per tensor, by layer and by unit"),
  Command.withExamples([
    {
      command: "hila compare fixtures/micro/math fixtures/micro/base",
      description: "What fine-tuning changed",
    },
  ]),
)

/** `hila extract-lora`. */
export const extractLora = Command.make(
  "extract-lora",
  {
    base: checkpoint("base", "The base model: a directory, or org/name of the Hub"),
    model: checkpoint("model", "A model fine-tuned from it"),
    directory: Argument.String("output").pipe(Argument.withDescription("A new directory for the adapter")),
    rank: Flag.Int("rank").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("Greatest rank of each layer's difference; 16 by default"),
      Flag.withDefault(16),
    ),
    skipVocabulary: Flag.Boolean("skip-vocabulary").pipe(
      Flag.withDescription("Leaves embedding and head out where the model has other rows than the base"),
      Flag.withDefault(false),
    ),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ extractLora }) => extractLora(given)),
).pipe(
  Command.withDescription(
    "Writes the difference of a model to its base as a LoRA adapter, and says what it loses",
  ),
  Command.withExamples([
    {
      command: "hila extract-lora fixtures/micro/base fixtures/micro/math math-lora --rank 8",
      description: "An adapter in the directory math-lora",
    },
  ]),
)

/** `hila push`. */
export const push = Command.make(
  "push",
  {
    directory: checkpoint("directory", "A checkpoint's directory; all of its files are sent"),
    repo: Argument.String("org/name").pipe(
      Argument.withDescription("A repository of the Hub, made if it does not exist"),
    ),
    private: Flag.Boolean("private").pipe(
      Flag.withDescription("A repository that is made is seen by its owners only"),
      Flag.withDefault(false),
    ),
    revision: Flag.String("revision").pipe(
      Flag.withMetavar("branch"),
      Flag.withDescription("The branch, made if it does not exist; main by default"),
      Flag.optional,
    ),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ push }) => push(given)),
).pipe(
  Command.withDescription(
    "Uploads a checkpoint to the Hub as one commit; HF_TOKEN holds a token that may write",
  ),
  Command.withExamples([
    { command: "hila push merged org/name --private", description: "A repository that only its owners see" },
  ]),
)
