/**
 * `hila statistics`: its arguments, flags and help.
 *
 * What it does lies in `StatisticsRuns`, which is loaded when it is called.
 */
import { kinds } from "@hila/model/attribution/StatisticsKind"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json, store } from "./Arguments.ts"

const runs = Effect.promise(() => import("./StatisticsRuns.ts"))

/** `hila statistics`. */
export const statistics = Command.make(
  "statistics",
  {
    model: Argument.String("model").pipe(
      Argument.withDescription(
        "A checkpoint's directory, or a model of the Hub: org/name or org/name@revision",
      ),
    ),
    examples: Flag.String("examples").pipe(
      Flag.withMetavar("file.jsonl"),
      Flag.withDescription("What it is run on: one JSON line each with prompt and response, tokens optional"),
    ),
    kind: Flag.Literals("kind", kinds).pipe(
      Flag.withDescription(
        "Squared gradients, |weight · gradient|, covariance of inputs (RegMean), the same with that of output gradients, mean |input| (AIM)",
      ),
    ),
    output: Flag.String("output").pipe(
      Flag.withMetavar("file.safetensors"),
      Flag.withDescription("Where the statistics go"),
    ),
    blocked: Flag.Boolean("blocked").pipe(
      Flag.withDescription(
        "Covariances by head as blocks, and inside of the MLP as diagonals (gram, kronecker)",
      ),
      Flag.withDefault(false),
    ),
    memory: Flag.Int("memory").pipe(
      Flag.withMetavar("MiB"),
      Flag.withDescription(
        "What the sums of one pass over the examples may take; 1024 by default, less means more passes",
      ),
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(0))),
      Flag.withDefault(1024),
    ),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ statistics: run }) => run(given)),
).pipe(
  Command.withDescription(
    "Collects what a model's weights meet on examples, for merge methods that weigh by it",
  ),
  Command.withExamples([
    {
      command:
        "hila statistics fixtures/micro/math --examples fixtures/math-answers.jsonl --kind gram --output math.gram.safetensors",
      description: "What RegMean needs of one model; forward passes only",
    },
    {
      command:
        "hila statistics fixtures/micro/math --examples fixtures/math-answers.jsonl --kind kronecker --blocked --output math.kronecker.safetensors",
      description: "Both factors of every linear layer, small ones; killed and started again, it goes on",
    },
  ]),
)
