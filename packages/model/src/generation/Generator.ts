/**
 * Writing with anything that steps: checks what is asked, makes batches, decodes them and gives text.
 *
 * The same for one model and for several whose logits are combined.
 */
import { at, last } from "@hila/core/Lookup"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Continuation, DecodeOptions, GenerateOptions, Generation, Piece } from "./Generation.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import { checkTokens } from "../runtime/Losses.ts"
import * as Sampling from "./Sampling.ts"
import type { Tokenizer } from "../text/Tokenizer.ts"
import type * as Decode from "./Decode.ts"
import * as Random from "./Random.ts"
import type { Logits } from "./Stepper.ts"
import * as Text from "./Text.ts"

/** What writes; its continuations may say more than tokens. */
export interface Writer<out C extends Continuation> {
  /** Stands for it in errors. */
  readonly name: string
  readonly shape: ModelShape
  readonly tokenizer: Effect.Effect<Tokenizer, ModelError>
  readonly eosTokenIds: ReadonlyArray<number>
  /** Batches at the same time. */
  readonly width: number
  /** Decodes one batch. */
  readonly decode: (
    requests: ReadonlyArray<Decode.Request>,
    options: Decode.Options,
    sampling: DecodeOptions,
  ) => Effect.Effect<ReadonlyArray<C>, ModelError>
}

export interface Generator<out C extends Continuation = Continuation> {
  /** Text for each prompt. A prompt and its `maxTokens` must fit into the model's positions. */
  readonly generate: (
    prompts: ReadonlyArray<string>,
    options: GenerateOptions,
  ) => Effect.Effect<ReadonlyArray<C & Generation>, ModelError>
  /** Continuations of token sequences; they end at an EOS token, where `stop` says so, or after `maxTokens`. */
  readonly continue: (
    prompts: ReadonlyArray<ReadonlyArray<number>>,
    options: Omit<GenerateOptions, "addSpecial">,
  ) => Effect.Effect<ReadonlyArray<C>, ModelError>
  /** The response to one prompt, token by token as it is written; the texts together are what `generate` gives. */
  readonly stream: (
    prompt: string,
    options: Omit<GenerateOptions, "samples">,
  ) => Stream.Stream<Piece, ModelError>
}

/** Takes a token from logits [rows, vocabulary] as the options say. */
export const choose =
  (vocabulary: number, options: DecodeOptions): Decode.Choose<Logits> =>
  ({ logits }, row, { key, prompt, response }) => {
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary)
    const total = Sampling.logSumExp(own)
    if (!Number.isFinite(total)) return undefined
    const seen = options.repetitionPenalty === undefined ? [] : [...prompt, ...response]
    const u = Random.uniform(key, response.length)
    const token = Sampling.draw(Sampling.distribution(own, seen, options), u)
    const logProbability = options.logProbabilities === true ? at(own, token) - total : undefined
    return { token, logProbability }
  }

/** What is wrong with options, as a line, or undefined. */
const problem = (options: GenerateOptions): string | undefined => {
  const { maxTokens, samples = 1, seed = 0, stop = [] } = options
  if (!Number.isInteger(maxTokens) || maxTokens < 1)
    return `maxTokens: expected an integer of at least 1, got ${maxTokens}`
  if (!Number.isInteger(samples) || samples < 1)
    return `samples: expected an integer of at least 1, got ${samples}`
  if (!Number.isSafeInteger(seed) || seed < 0) return `seed: expected an integer of at least 0, got ${seed}`
  if (stop.includes("")) return "stop: a stop string may not be empty"
  return Sampling.problem(options)
}

/** Everything a writer can be asked for. */
export const make = <C extends Continuation>({
  decode,
  eosTokenIds,
  name,
  shape,
  tokenizer,
  width,
}: Writer<C>): Generator<C> => {
  const refuse = (line: string) => new ModelError({ model: name, problem: line, blame: "input" })

  const check = Effect.fnUntraced(function* (
    prompts: ReadonlyArray<ReadonlyArray<number>>,
    options: GenerateOptions,
  ) {
    const wrong = problem(options)
    if (wrong !== undefined) return yield* refuse(wrong)
    for (const [i, prompt] of prompts.entries()) {
      yield* checkTokens(name, shape, `prompt ${i}`, prompt)
      if (prompt.length + options.maxTokens > shape.maxPositions) {
        return yield* refuse(
          `prompt ${i} has ${prompt.length} tokens, with maxTokens ${options.maxTokens} more than the model's ` +
            `${shape.maxPositions} positions; shorten the prompt or lower maxTokens`,
        )
      }
    }
  })

  const decodeAll = Effect.fnUntraced(function* (
    prompts: ReadonlyArray<ReadonlyArray<number>>,
    options: GenerateOptions,
    stopped: Decode.Options["stopped"],
    chosen: Decode.Options["chosen"] = () => Effect.void,
  ) {
    yield* check(prompts, options)
    const { maxTokens, samples = 1, seed = 0, stopTokens = [] } = options
    const requests = prompts.flatMap((prompt, source) =>
      Array.from({ length: samples }, (_, sample): Decode.Request => ({
        prompt,
        source,
        key: Random.key(seed, prompt, sample),
      })),
    )
    const extents = requests.map(({ prompt: { length } }) => ({ length, total: length + maxTokens, rows: 1 }))
    const results: Array<C> = []
    const settings = {
      model: name,
      maxTokens,
      eos: new Set(eosTokenIds),
      stopTokens: new Set(stopTokens),
      stopped,
      chosen,
    }
    const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
      const own = batch.map((i) => at(requests, i))
      const decoded = yield* decode(own, settings, options)
      decoded.forEach((continuation, i) => (results[at(batch, i)] = continuation))
    })
    yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: width, discard: true })
    return results
  })

  const generate: Generator<C>["generate"] = Effect.fnUntraced(function* (prompts, options) {
    const { addSpecial = true, samples = 1, stop = [] } = options
    const words = yield* tokenizer
    const encoded = yield* words.encodeAll(prompts, { addSpecial })
    const continuations = yield* decodeAll(encoded, options, Text.stopTest(words, stop))
    const responses = yield* Text.responseTexts(words, continuations, stop)
    return continuations.map((continuation, i) => {
      const source = Math.floor(i / samples)
      const prompt = at(encoded, source)
      return {
        ...continuation,
        prompt: at(prompts, source),
        response: at(responses, i),
        tokens: [...prompt, ...continuation.tokens],
        promptLength: prompt.length,
      }
    })
  })

  const stream: Generator<C>["stream"] = (prompt, options) =>
    Stream.callback<Piece, ModelError>((queue: Queue.Queue<Piece, ModelError | Cause.Done>) =>
      Effect.gen(function* () {
        const { addSpecial = true, stop = [] } = options
        const words = yield* tokenizer
        const encoded = [yield* words.encode(prompt, { addSpecial })]
        const textOf = Text.pieces(words, stop)
        yield* decodeAll(
          encoded,
          options,
          Text.stopTest(words, stop),
          ({ end, logProbabilities, response }) =>
            Effect.flatMap(textOf(response, end), (text) =>
              Queue.offer(queue, {
                token: last(response),
                text,
                ...(logProbabilities.length === 0 ? {} : { logProbability: last(logProbabilities) }),
                ...(end === undefined ? {} : { end }),
              }),
            ).pipe(Effect.asVoid),
        )
        yield* Queue.end(queue)
      }).pipe(Effect.catch((error) => Queue.fail(queue, error))),
    )

  return {
    generate,
    stream,
    continue: Effect.fnUntraced(function* (prompts, options) {
      const { stop = [] } = options
      return yield* decodeAll(
        prompts,
        options,
        stop.length === 0 ? Text.never : Text.stopTest(yield* tokenizer, stop),
      )
    }),
  }
}
