/** `hila report`: what a run made, as text or as a page. */
import * as Effect from "effect/Effect"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json, store } from "./Arguments.ts"

const work = Effect.promise(() => import("./ReportRuns.ts"))

export const report = Command.make(
  "report",
  {
    run: Argument.String("run").pipe(
      Argument.withDescription("A run as `hila runs` lists it, or `last`, the default"),
      Argument.withDefault("last"),
    ),
    html: Flag.Boolean("html").pipe(
      Flag.withDescription("Writes one self-contained page instead of text"),
      Flag.withDefault(false),
    ),
    output: Flag.String("output").pipe(
      Flag.withMetavar("file"),
      Flag.withDescription("Where the page goes; <pipeline>-report.html by default"),
      Flag.optional,
    ),
    pipeline: Flag.String("pipeline").pipe(
      Flag.withMetavar("file.ts"),
      Flag.withDescription(
        "Draws results as this pipeline draws them now, in place of how they looked when they were made",
      ),
      Flag.optional,
    ),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(work, (found) => found.report(given)),
).pipe(
  Command.withDescription(
    "Tells what a run made: its results, the models in it, every stage with its time, and the figures on the way",
  ),
  Command.withExamples([
    { command: "hila report last --html", description: "The latest run as a page" },
    { command: "hila report", description: "The same in the terminal" },
  ]),
)
