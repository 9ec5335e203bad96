/**
 * Answering requests: what the journal has is taken from it, equal requests are asked once, and the rest goes through
 * the model in chunks, longest first, each written to the journal before the next.
 */
import { at, entry, known } from "@hila/core/Lookup"
import { type CausalModel, SpecialTokens } from "@hila/model"
import * as Effect from "effect/Effect"
import { EvalError } from "../EvalError.ts"
import * as Encoding from "./Encoding.ts"
import type { Journal } from "./Journal.ts"
import { type Answer, digest, type Request } from "./Request.ts"

/** A model with what it takes to ask it. */
export interface Respondent {
  readonly model: CausalModel.CausalModel
  /** Stands for weights and settings in digests of requests. */
  readonly identity: string
  readonly vocabulary: Encoding.Vocabulary
  /** The tokenizer's end-of-sequence token as text: it ends every response, whatever the model's own end tokens are. */
  readonly end: string | undefined
}

/** How far answering is; `kept` answers come from an earlier run. */
export interface Progress {
  readonly done: number
  readonly kept: number
  readonly total: number
}

/** Requests of one chunk: a killed run loses at most so many. Generating takes a pass per token, so its are smaller. */
const chunkSizes: Readonly<Record<Request["_tag"], number>> = {
  LogLikelihood: 256,
  Rolling: 32,
  Generate: 64,
}

/** Samples of one context have the seeds from this many times the task's seed on. */
const samplesPerSeed = 2 ** 20

/** Opens a model for requests; `maxLength` bounds what it reads at once, below its own positions. */
export const respondent = Effect.fnUntraced(function* (
  model: CausalModel.CausalModel,
  identity: string,
  options: { readonly maxLength?: number } = {},
) {
  const { bosTokenId, eosTokenIds, maxPositions } = model.shape
  const tokenizer = yield* model.tokenizer
  const special = yield* SpecialTokens.read(model.checkpoint)
  const idOf = Effect.fnUntraced(function* (text: string | undefined) {
    const ids = text === undefined ? [] : yield* tokenizer.encode(text, { addSpecial: false })
    return ids.length === 1 ? ids[0] : undefined
  })
  // As the harness: what the tokenizer names; config.json only where it names nothing.
  const prefix =
    (yield* idOf(special.bos_token)) ?? (yield* idOf(special.eos_token)) ?? bosTokenId ?? eosTokenIds[0]
  if (prefix === undefined) {
    return yield* new EvalError({
      subject: "evaluation",
      problem:
        "neither the model's tokenizer_config.json nor its config.json names a beginning-of-sequence or an end-of-sequence token",
    })
  }
  const maxLength = Math.min(options.maxLength ?? maxPositions, maxPositions)
  return {
    model,
    identity: `${identity}/${maxLength}`,
    vocabulary: { tokenizer, prefix, maxLength },
    end: special.eos_token,
  } satisfies Respondent
})

type Of<Tag extends Request["_tag"]> = Extract<Request, { readonly _tag: Tag }>

const logLikelihoods = Effect.fnUntraced(function* (
  { model, vocabulary }: Respondent,
  requests: ReadonlyArray<Of<"LogLikelihood">>,
) {
  const scored = yield* model.logLikelihoods(yield* Encoding.continued(vocabulary, requests))
  return scored.map(({ isGreedy, sum }): Answer => [sum, isGreedy])
})

const rolling = Effect.fnUntraced(function* (
  { model, vocabulary }: Respondent,
  requests: ReadonlyArray<Of<"Rolling">>,
) {
  const windows = yield* Encoding.windows(
    vocabulary,
    requests.map(({ text }) => text),
  )
  const scored = yield* model.logLikelihoods(windows.flat())
  let at = 0
  return windows.map((own): Answer => {
    const sums = scored.slice(at, (at += own.length))
    return sums.reduce((total, { sum }) => total + sum, 0)
  })
})

/** A text up to the first of the stop strings. */
const before = (text: string, until: ReadonlyArray<string>): string =>
  until.reduce((rest, stop) => at(rest.split(stop, 1), 0), text)

const generate = Effect.fnUntraced(function* (
  { end, model, vocabulary }: Respondent,
  requests: ReadonlyArray<Of<"Generate">>,
) {
  const { maxLength, tokenizer } = vocabulary
  const answers: Array<Answer> = requests.map(() => "")
  const settings = Map.groupBy(requests.keys(), (i) => {
    const { generation, sample } = at(requests, i)
    return JSON.stringify([generation, sample])
  })
  for (const indices of settings.values()) {
    const { generation, sample = 0 } = at(requests, at(indices, 0))
    const { drawing = {}, maxTokens, until } = generation
    // Samples have seeds of their own, far enough from those of the next seed.
    const seed = (drawing.seed ?? 0) * samplesPerSeed + sample
    const room = Math.min(maxTokens, maxLength - 1)
    const stop = end === undefined || end === "" || until.includes(end) ? until : [...until, end]
    const prompts = yield* Encoding.prompts(
      vocabulary,
      indices.map((i) => at(requests, i).context),
      room,
    )
    const continuations = yield* model.continue(prompts, {
      ...drawing,
      seed,
      maxTokens: room,
      stop,
    })
    const texts = yield* tokenizer.decodeAll(
      continuations.map(({ tokens }) => tokens),
      { skipSpecial: true },
    )
    for (const [i, text] of texts.entries()) {
      answers[at(indices, i)] = before(text, stop)
    }
  }
  return answers
})

const ask = (respondent: Respondent, requests: ReadonlyArray<Request>) => {
  const of = <Tag extends Request["_tag"]>(tag: Tag) =>
    requests.filter((request): request is Of<Tag> => request._tag === tag)
  return Effect.gen(function* () {
    const answers = [
      yield* logLikelihoods(respondent, of("LogLikelihood")),
      yield* rolling(respondent, of("Rolling")),
      yield* generate(respondent, of("Generate")),
    ].flat()
    const asked = [...of("LogLikelihood"), ...of("Rolling"), ...of("Generate")]
    return new Map(asked.map((request, i) => [request, at(answers, i)]))
  })
}

/** Which sample is asked for, of several of one context. */
const sampleOf = (request: Request): number => (request._tag === "Generate" ? (request.sample ?? 0) : 0)

const size = (request: Request): number =>
  request._tag === "Rolling" ? request.text.length : request.context.length

type Named = readonly [digest: string, request: Request]

/** Requests cut into chunks of one kind each. */
const chunks = (order: ReadonlyArray<Named>): ReadonlyArray<ReadonlyArray<Named>> =>
  [...Map.groupBy(order, ([, request]) => request._tag)].flatMap(([kind, own]) => {
    const size = chunkSizes[kind]
    return Array.from({ length: Math.ceil(own.length / size) }, (_, i) => own.slice(i * size, (i + 1) * size))
  })

/** The answers to requests, in their order. */
export const answer = Effect.fn("Answering.answer")(function* (
  respondent: Respondent,
  requests: ReadonlyArray<Request>,
  journal: Journal,
  progress: (state: Progress) => Effect.Effect<void> = () => Effect.void,
) {
  const digests = requests.map((request) => digest(respondent.identity, request))
  const unique = new Map(requests.map((request, i) => [at(digests, i), request]))
  // By kind and sample, then longest context first; requests of one context stay together, since they can share a forward pass.
  // Chunks are cut before the journal is asked, so that a resumed run makes the batches of an undisturbed one.
  const order = [...unique].toSorted(
    ([, a], [, b]) => a._tag.localeCompare(b._tag) || sampleOf(a) - sampleOf(b) || size(b) - size(a),
  )
  const missing = order.filter(([name]) => journal.find(name) === undefined).length
  const [total, kept] = [order.length, order.length - missing]
  let done = kept
  yield* progress({ done, kept, total })
  for (const whole of chunks(order)) {
    const chunk = whole.filter(([name]) => journal.find(name) === undefined)
    if (chunk.length === 0) continue
    const answers = yield* ask(
      respondent,
      chunk.map(([, request]) => request),
    )
    yield* journal.append(chunk.map(([name, request]) => [name, entry(answers, request)]))
    done += chunk.length
    yield* progress({ done, kept, total })
  }
  return digests.map((name): Answer => known(journal.find(name), name))
})
