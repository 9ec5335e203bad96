/** What `hila generate` and `hila export` do. */
import {
  CausalModel,
  ChatTemplate,
  type Checkpoint,
  Export,
  type GenerateOptions,
  Hub,
  LogitsFusion,
  Runtime,
} from "@hila/model"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { resolve } from "node:path"
import { UsageError } from "./CliError.ts"
import * as Downloads from "./Downloads.ts"
import * as Models from "./Models.ts"

interface Asked {
  readonly model: string
  readonly prompt: string
  readonly chat: boolean
  readonly system: Option.Option<string>
  readonly maxTokens: Option.Option<number>
  readonly temperature: Option.Option<number>
  readonly topK: Option.Option<number>
  readonly topP: Option.Option<number>
  readonly minP: Option.Option<number>
  readonly repetitionPenalty: Option.Option<number>
  readonly stop: ReadonlyArray<string>
  readonly samples: Option.Option<number>
  readonly seed: number
  readonly threads: Option.Option<number>
  readonly small: Option.Option<string>
  readonly experts: ReadonlyArray<string>
  readonly alphas: ReadonlyArray<number>
  readonly logProbabilities: boolean
  readonly json: boolean
}

/** New tokens where nobody says how many. */
const usualTokens = 256

/** The prompt as the model gets it; a chat template has written its special tokens already. */
const promptOf = Effect.fnUntraced(function* (
  { chat, prompt, system }: Asked,
  checkpoint: Checkpoint.Checkpoint,
) {
  if (!chat) {
    if (Option.isSome(system)) return yield* new UsageError({ problem: "--system: only with --chat" })
    return { text: prompt, addSpecial: true }
  }
  const template = yield* ChatTemplate.open(checkpoint)
  const first = Option.match(system, {
    onNone: () => [],
    onSome: (content) => [{ role: "system", content }],
  })
  const text = yield* template.render([...first, { role: "user", content: prompt }])
  return { text, addSpecial: false }
})

/** The options somebody gave, without those nobody did. */
const given = <A>(name: string, option: Option.Option<A>) =>
  Option.match(option, { onNone: () => ({}), onSome: (value) => ({ [name]: value }) })

const sampling = ({ minP, repetitionPenalty, temperature, topK, topP }: Asked) => ({
  ...given("temperature", temperature),
  ...given("topK", topK),
  ...given("topP", topP),
  ...given("minP", minP),
  ...given("repetitionPenalty", repetitionPenalty),
})

/** The model itself, or with what experts learned added at each step. */
const writerOf = Effect.fnUntraced(function* (
  large: CausalModel.CausalModel,
  { alphas, experts, small }: Asked,
) {
  if (Option.isNone(small) && experts.length === 0 && alphas.length === 0) return large
  if (Option.isNone(small) || experts.length === 0) {
    const problem = "--small, --expert, --alpha: name the small model and at least one expert of it"
    return yield* new UsageError({ problem })
  }
  const open = (path: string) => Effect.flatMap(Downloads.shown(Hub.model(path)), CausalModel.open)
  const models = { large, small: yield* open(small.value), experts: yield* Effect.forEach(experts, open) }
  return yield* LogitsFusion.make(models, alphas.length === 0 ? {} : { alphas })
})

const print = (text: string) => Effect.sync(() => void process.stdout.write(text))

/** `hila generate`: text as it comes; several samples, and JSON, when they are whole. */
export const generate = Effect.fnUntraced(function* (asked: Asked) {
  const threads = Option.match(asked.threads, { onNone: () => ({}), onSome: (n) => ({ threads: n }) })
  const run = Effect.gen(function* () {
    const checkpoint = yield* Models.opened(asked.model)
    const { addSpecial, text } = yield* promptOf(asked, checkpoint)
    const model = yield* CausalModel.open(checkpoint)
    const { length } = yield* (yield* model.tokenizer).encode(text, { addSpecial })
    const room = Math.max(1, model.shape.maxPositions - length)
    const options: Omit<GenerateOptions, "samples"> = {
      ...sampling(asked),
      maxTokens: Option.getOrElse(asked.maxTokens, () => Math.min(usualTokens, room)),
      stop: asked.stop,
      seed: asked.seed,
      logProbabilities: asked.logProbabilities,
      addSpecial,
    }
    const writer = yield* writerOf(model, asked)
    const samples = Option.getOrElse(asked.samples, () => 1)
    if (samples === 1 && !asked.json) {
      yield* Stream.runForEach(writer.stream(text, options), (piece) => print(piece.text))
      return yield* print("\n")
    }
    const written = yield* writer.generate([text], { ...options, samples })
    for (const [i, generation] of written.entries()) {
      yield* asked.json
        ? Console.log(JSON.stringify(generation))
        : print(`${i === 0 ? "" : "\n"}[${i + 1}]\n${generation.response}\n`)
    }
  })
  yield* Effect.scoped(Effect.provide(run, Runtime.layerWith({ workers: 1, ...threads })))
})

/** `hila export onnx`. */
export const exportOnnx = Effect.fnUntraced(function* (asked: {
  readonly model: string
  readonly directory: string
  readonly json: boolean
}) {
  const checkpoint = yield* Downloads.shown(Hub.model(asked.model))
  const exported = yield* Export.onnx(checkpoint, resolve(asked.directory))
  if (asked.json) return yield* Console.log(JSON.stringify(exported))
  const weights = exported.weights.map(({ linked, name }) => `${name} (${linked ? "linked" : "copied"})`)
  const names = (ports: typeof exported.inputs) => {
    const own = ports.filter(({ name }) => !/^(past|present)\./.test(name)).map(({ name }) => name)
    return own.length === ports.length ? own.join(", ") : `${own.join(", ")} and the key-value cache`
  }
  yield* Console.log(
    [
      exported.graph,
      `weights: ${weights.join(", ")}`,
      `inputs: ${names(exported.inputs)}`,
      `outputs: ${names(exported.outputs)}`,
    ].join("\n"),
  )
})
