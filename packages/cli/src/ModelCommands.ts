/**
 * `hila generate` and `hila export`: their arguments, flags and help.
 *
 * What they do lies in `ModelRuns`, which is loaded when one of them is called.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { debug, json } from "./Arguments.ts"

const runs = Effect.promise(() => import("./ModelRuns.ts"))

const model = Argument.String("model").pipe(
  Argument.withDescription("A checkpoint's directory, or a model of the Hub: org/name or org/name@revision"),
)

const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar("text"), Flag.withDescription(description))
const count = (name: string, description: string) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("n"),
    Flag.withDescription(description),
    Flag.withSchema(Schema.Int.check(Schema.isGreaterThan(0))),
    Flag.optional,
  )
const number = (name: string, description: string) =>
  Flag.Finite(name).pipe(Flag.withMetavar("x"), Flag.withDescription(description), Flag.optional)
const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

/** `hila generate`. */
export const generate = Command.make(
  "generate",
  {
    model,
    prompt: text("prompt", "What the model continues, or answers with --chat"),
    chat: toggle("chat", "Puts the prompt into the model's own chat template"),
    system: text("system", "With --chat: what the model is told before the prompt").pipe(Flag.optional),
    maxTokens: count("max-tokens", "New tokens at most; 256 by default, or what the model has room for"),
    temperature: number(
      "temperature",
      "What logits are divided by; 0, the default, takes the most likely token",
    ),
    topK: count("top-k", "Only the n most likely tokens"),
    topP: number("top-p", "Only the most likely tokens that together have this probability"),
    minP: number("min-p", "Only tokens at least this likely relative to the most likely one"),
    repetitionPenalty: number("repetition-penalty", "Above 1, makes tokens already seen less likely"),
    stop: text("stop", "Text that ends a response; may be given several times").pipe(Flag.atLeast(0)),
    samples: count("samples", "Responses to write; 1 by default"),
    seed: Flag.Int("seed").pipe(
      Flag.withMetavar("n"),
      Flag.withDescription("The same seed gives the same text; 0 by default"),
      Flag.withDefault(0),
    ),
    threads: count("threads", "Threads that compute; the machine's by default"),
    small: Flag.String("small").pipe(
      Flag.withMetavar("model"),
      Flag.withDescription("With --expert: the small model that the experts come from"),
      Flag.optional,
    ),
    experts: Flag.String("expert").pipe(
      Flag.withMetavar("model"),
      Flag.withDescription("Adds what this small model learned to the logits at each step; repeatable"),
      Flag.atLeast(0),
    ),
    alphas: Flag.Finite("alpha").pipe(
      Flag.withMetavar("x"),
      Flag.withDescription("How much of each expert, in order; by default sought at each step"),
      Flag.atLeast(0),
    ),
    logProbabilities: toggle("log-probabilities", "With --json: also log p of each token, in nats"),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ generate }) => generate(given)),
).pipe(
  Command.withDescription("Writes text with a model, as it comes"),
  Command.withExamples([
    {
      command: 'hila generate fixtures/micro/math --prompt "Q: 87+45" --max-tokens 16',
      description: "The most likely continuation",
    },
    {
      command: 'hila generate org/name@v1 --chat --prompt "Hello" --temperature 0.7 --top-p 0.9 --seed 3',
      description: "A model of the Hub answers, drawn with a seed",
    },
    {
      command:
        'hila generate fixtures/micro/code --small fixtures/micro/base --expert fixtures/micro/math --prompt "Q: 87+45" --max-tokens 16 --json',
      description:
        "Dynamic logits fusion: the first model with what the expert learned; the JSON has the expert's weight at each step",
    },
  ]),
)

const onnx = Command.make(
  "onnx",
  {
    model,
    directory: Argument.String("directory").pipe(
      Argument.withDescription("A new or empty directory for the graph and its weights"),
    ),
    json,
    debug,
  },
  (given) => Effect.flatMap(runs, ({ exportOnnx }) => exportOnnx(given)),
).pipe(
  Command.withDescription("Writes a model for any ONNX Runtime: its graph beside links to its own weights"),
  Command.withExamples([
    { command: "hila export onnx fixtures/micro/math math-onnx", description: "Writes math-onnx/model.onnx" },
  ]),
)

/** `hila export`. */
export const exportTo = Command.make("export").pipe(
  Command.withDescription("Writes models for other programs"),
  Command.withSubcommands([onnx]),
  Command.withExamples([
    { command: "hila export onnx fixtures/micro/math math-onnx", description: "For any ONNX Runtime" },
  ]),
)
