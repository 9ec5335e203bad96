/**
 * `hila golden`: its arguments, flags and help.
 *
 * What it does lies in `GoldenRuns`, which is loaded when it is called.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json, store } from "./Arguments.ts"

const runs = Effect.promise(() => import("./GoldenRuns.ts"))

const text = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description))
const count = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("n"),
    Flag.withDescription(description),
    Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(0))),
  )
const number = (name: string, description: string) =>
  Flag.Finite(name).pipe(Flag.withMetavar("x"), Flag.withDescription(description), Flag.optional)
const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

/** `hila golden`. */
export const golden = Command.make(
  "golden",
  {
    expert: Argument.String("expert").pipe(
      Argument.withDescription("Whose answers are kept: a directory, or org/name of the Hub"),
    ),
    prompts: text(
      "prompts",
      "file",
      "A .jsonl, .csv, .parquet or .txt file, or one of the Hub: hf://datasets/org/name@revision/path",
    ),
    prompt: text(
      "prompt",
      "column",
      "Where prompts are; or a text with columns in it, 'Q: {{question}}'; prompt by default",
    ).pipe(Flag.withDefault("prompt")),
    answer: text("answer", "column", "Where keys or tests are, for --verify answer and --tests").pipe(
      Flag.optional,
    ),
    take: count("take", "Only so many prompts, drawn by --seed; all by default").pipe(Flag.optional),
    chat: toggle("chat", "Puts each prompt into the expert's own chat template"),
    maxTokens: count("max-tokens", "New tokens at most; 256 by default").pipe(Flag.withDefault(256)),
    stop: text("stop", "text", "Text that ends an answer; may be given several times").pipe(Flag.atLeast(0)),
    temperature: number(
      "temperature",
      "Draws answers from logits divided by it; by default the likeliest token",
    ),
    topK: count("top-k", "Only the n most likely tokens").pipe(Flag.optional),
    topP: number("top-p", "Only the most likely tokens that together have this probability"),
    seed: count("seed", "Of what is drawn; 0 by default").pipe(
      Flag.withSchema(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))),
      Flag.withDefault(0),
    ),
    keep: count("keep", "Only the first so many good answers; all by default").pipe(Flag.optional),
    unended: toggle("unended", "Keeps answers that ran into --max-tokens, too"),
    verify: text(
      "verify",
      "rule",
      "Keeps only what is right: answer (the key; answer:<pattern> for the last match in both), regex:<pattern>, script:<name>, language:<code>",
    ).pipe(Flag.optional),
    tests: Flag.Literals("tests", ["python", "javascript"]).pipe(
      Flag.withDescription("Keeps only programs in this language that pass the tests of their row"),
      Flag.optional,
    ),
    shape: Flag.Literals("shape", ["response", "continuation", "block"]).pipe(
      Flag.withDescription(
        "With --tests, the program: the answer, prompt and answer, or its first fenced block; response by default",
      ),
      Flag.withDefault("response"),
    ),
    seconds: number("seconds", "With --tests: what each program may take; 3 by default"),
    allowCode: toggle("allow-code", "Lets --tests run the programs the expert writes, in a sandbox"),
    output: text("output", "file.jsonl", "Where the examples go, one JSON line each, for --golden elsewhere"),
    store,
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ golden: run }) => run(given)),
).pipe(
  Command.withDescription("Makes golden data: an expert's own answers to prompts, those that are good"),
  Command.withExamples([
    {
      command:
        "hila golden fixtures/micro/math --prompts fixtures/math-answers.jsonl --max-tokens 8 --unended --output golden.jsonl",
      description: "Prompts of a file, continued; killed and started again, it goes on where it was",
    },
    {
      command:
        "hila golden org/math --prompts hf://datasets/openai/gsm8k/main/train-00000-of-00001.parquet --prompt question --chat --take 64 --verify language:en --output math.jsonl",
      description: "64 prompts of a data set of the Hub, in the expert's chat template",
    },
    {
      command:
        "hila golden org/code --prompts code.jsonl --chat --answer tests --tests python --shape block --allow-code --output code.jsonl",
      description: "Programs that pass the tests that come with their prompts",
    },
  ]),
)
