/**
 * `hila score` and `hila scores`: their arguments, flags and help.
 *
 * What they do lies in `ScoreRuns`, which is loaded when one of them is called.
 */
import * as UnitTable from "@hila/model/units/UnitTable"
import { names } from "@hila/scoring/importance/names"
import { options } from "@hila/scoring/importance/options"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json, store } from "./Arguments.ts"

const golden = Flag.String("golden").pipe(
  Flag.withMetavar("file.jsonl"),
  Flag.withDescription("The expert's answers: one JSON line each with prompt and response, tokens optional"),
)

const scheme = Flag.Literals("scheme", UnitTable.Scheme.literals).pipe(
  Flag.withDescription("How the model is divided into units; kvGroup by default"),
  Flag.withDefault("kvGroup"),
)

const runs = Effect.promise(() => import("./ScoreRuns.ts"))

const file = (name: string, description: string) =>
  Argument.String(name).pipe(Argument.withDescription(description))

const output = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("file"), Flag.withDescription(description), Flag.optional)

/** `hila score`. */
export const score = Command.make(
  "score",
  {
    base: file("base", "The base model: a directory, or org/name of the Hub"),
    expert: file("expert", "A model fine-tuned from it"),
    golden,
    method: Flag.Literals("method", names).pipe(
      Flag.withDescription("How importance is measured; revert by default"),
      Flag.withDefault("revert"),
    ),
    scheme,
    seed: Flag.Int("seed").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription(
        `Of methods that draw: ${options.seed.description}; ${options.seed.default} by default`,
      ),
      Flag.withDefault(options.seed.default),
    ),
    quadrature: Flag.Int("quadrature").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription(
        `Of methods that integrate: ${options.quadrature.description}; ${options.quadrature.default} by default`,
      ),
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(options.quadrature.range[0]))),
      Flag.withDefault(options.quadrature.default),
    ),
    output: output("output", "Writes the scores with every value as JSON"),
    svg: output("svg", "Writes the heat map as SVG"),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ score: run }) => run(given)),
).pipe(
  Command.withDescription("Scores what every head and MLP of an expert's change is worth to its own answers"),
  Command.withExamples([
    {
      command:
        "hila score fixtures/micro/base fixtures/micro/math --golden fixtures/math-answers.jsonl --output revert.json",
      description: "One loss per unit and example; killed and started again, it goes on where it was",
    },
    {
      command:
        "hila score fixtures/micro/base fixtures/micro/math --golden fixtures/math-answers.jsonl --method ablate --output ablate.json --svg heads.svg",
      description: "Which heads the expert needs, as a picture",
    },
  ]),
)

const show = Command.make(
  "show",
  {
    scores: file("scores.json", "A file that `hila score --output` wrote"),
    svg: output("svg", "Writes the heat map as SVG"),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ show: run }) => run(given)),
).pipe(
  Command.withDescription("Prints scores as a table and a heat map"),
  Command.withExamples([
    {
      command: "hila scores show revert.json --svg heads.svg",
      description: "What `hila score --output revert.json` wrote, also as a picture",
    },
  ]),
)

const compare = Command.make(
  "compare",
  {
    first: file("a.json", "A file of scores"),
    second: file("b.json", "Another, of the same units"),
    top: Flag.Int("top").pipe(
      Flag.withMetavar("k"),
      Flag.withDescription("How many of the most important units are compared; a quarter of them by default"),
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(0))),
      Flag.optional,
    ),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ compare: run }) => run(given)),
).pipe(
  Command.withDescription("Compares the ranks of two files of scores: Spearman, Kendall, overlap of the top"),
  Command.withExamples([
    {
      command: "hila scores compare revert.json ablate.json --top 5",
      description: "Do two methods agree on the five most important units?",
    },
  ]),
)

const conflict = Command.make(
  "conflict",
  {
    base: file("base", "The base model: a directory, or org/name of the Hub"),
    expert: file("expert", "A model fine-tuned from it"),
    merged: file("merged", "A model that the expert is merged into"),
    golden,
    coefficient: Flag.Finite("coefficient").pipe(
      Flag.withMetavar("x"),
      Flag.withDescription("What the merge multiplied the expert's change by"),
    ),
    scheme,
    output: output("output", "Writes the conflicts with every value as JSON"),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ conflict: run }) => run(given)),
).pipe(
  Command.withDescription(
    "Measures how much less each unit's change is worth in a merged model than in its expert",
  ),
  Command.withExamples([
    {
      command:
        "hila scores conflict fixtures/micro/base fixtures/micro/math merged --golden fixtures/math-answers.jsonl --coefficient 0.8",
      description: "Where the other experts take from what the expert's units did",
    },
  ]),
)

/** `hila scores`. */
export const scores = Command.make("scores").pipe(
  Command.withDescription("Shows and compares scores, and measures conflicts"),
  Command.withSubcommands([show, compare, conflict]),
  Command.withExamples([
    { command: "hila scores show revert.json", description: "Table and heat map" },
    { command: "hila scores compare revert.json ablate.json", description: "Do two methods agree?" },
  ]),
)
