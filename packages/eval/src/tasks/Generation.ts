/**
 * How a task's texts are generated: `generation_kwargs` and `repeats` of its file.
 *
 * Greedy unless a temperature is asked for. Only what is named here is known; an option that would be ignored in silence is
 * an error. Options of the checkpoint's own generation settings do not enter, so that a task gives the same text whatever
 * lies beside the weights.
 */
import type { DecodeOptions } from "@hila/model"
import * as Effect from "effect/Effect"
import { TaskError } from "../EvalError.ts"
import { float } from "../internal/python.ts"
import { nearest } from "../internal/suggestion.ts"
import type { TaskConfig } from "./TaskConfig.ts"

/** How the next token is drawn, and the seed of the draws. */
export type Drawing = Pick<
  DecodeOptions,
  "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "seed"
>

/** How a text is generated. */
export interface Generation {
  /** Strings that end a response, themselves left out. */
  readonly until: ReadonlyArray<string>
  readonly maxTokens: number
  /** None, and it is the most likely text. */
  readonly drawing?: Drawing
}

const strings = (value: unknown): ReadonlyArray<string> | undefined => {
  const list = typeof value === "string" ? [value] : value
  return Array.isArray(list) && list.every((item) => typeof item === "string") ? list : undefined
}

interface Range {
  readonly option: keyof Drawing
  readonly fits: (value: number) => boolean
  readonly expected: string
  /** The value that changes nothing. */
  readonly neutral?: number
}

const isCount = (least: number) => (value: number) => Number.isSafeInteger(value) && value >= least

/** Options of drawing by their names in task files. */
const drawn: Readonly<Record<string, Range>> = {
  temperature: { option: "temperature", fits: (t) => t >= 0, expected: "a number of at least 0" },
  // 0 stands for all tokens, as in the reference harness's backends.
  top_k: { option: "topK", fits: isCount(0), expected: "an integer of at least 0", neutral: 0 },
  top_p: { option: "topP", fits: (p) => p > 0 && p <= 1, expected: "a number in (0, 1]", neutral: 1 },
  min_p: { option: "minP", fits: (p) => p >= 0 && p <= 1, expected: "a number in [0, 1]", neutral: 0 },
  repetition_penalty: {
    option: "repetitionPenalty",
    fits: (penalty) => penalty > 0,
    expected: "a number above 0",
    neutral: 1,
  },
  seed: { option: "seed", fits: isCount(0), expected: "an integer of at least 0" },
}
/** Names for the most tokens of a text; of several the first counts, as in the reference harness. */
const mostTokens = ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"] as const
const known = ["until", ...mostTokens, "do_sample", ...Object.keys(drawn)]

/** Options of other searches, with the value at which they change nothing. */
const idle: Readonly<Record<string, unknown>> = {
  num_beams: 1,
  num_beam_groups: 1,
  num_return_sequences: 1,
  no_repeat_ngram_size: 0,
  length_penalty: 1,
  typical_p: 1,
  use_cache: true,
}

const isIdle = (key: string, value: unknown): boolean =>
  Object.hasOwn(idle, key) && (value === null || value === idle[key])

/** A number, or the text of one, which YAML makes of an exponent without a point and the harness reads. */
const numeric = (value: unknown): unknown =>
  typeof value === "string" && /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(value)
    ? Number(value)
    : value

/** The options as the harness completes them, and writes them into samples. */
export const completed = (config: TaskConfig): Readonly<Record<string, unknown>> => {
  const given = config.generation_kwargs ?? undefined
  const until = [config.fewshot_delimiter ?? "\n\n"]
  if (given === undefined) return { temperature: float(0), do_sample: false, max_gen_toks: 256, until }
  const temperature = numeric(given["temperature"])
  const own = typeof temperature === "number" ? { ...given, temperature: float(temperature) } : given
  return "until" in own ? own : { ...own, until }
}

/**
 * The options under `generation_kwargs`; `delimiter` ends a response where no `until` is given. A temperature above 0
 * draws, unless do_sample is false; do_sample without a temperature draws at 1.
 */
export const make = Effect.fnUntraced(function* (
  file: string,
  config: TaskConfig,
  delimiter: string,
): Effect.fn.Return<Generation, TaskError> {
  const given = config.generation_kwargs ?? {}
  const fail = (key: string, problem: string) =>
    new TaskError({ file, key: `generation_kwargs.${key}`, problem })
  if ((given["num_beams"] ?? 1) !== 1)
    return yield* fail(
      "num_beams",
      "texts are not searched for by beams here; a file without it asks for the most likely token after the other",
    )
  const unknown = Object.keys(given).find((key) => !known.includes(key) && !isIdle(key, given[key]))
  if (unknown !== undefined) {
    const near = nearest(unknown, known)
    return yield* fail(
      unknown,
      `unknown key; ${near === undefined ? `the keys are ${known.join(", ")}` : `did you mean ${near}?`}`,
    )
  }
  const until = given["until"] === undefined ? [delimiter] : strings(given["until"])
  if (until === undefined) return yield* fail("until", "expected a text or a list of texts")
  const [most, asked] = mostTokens
    .map((key) => [key, given[key]] as const)
    .find(([, value]) => value !== undefined && value !== null) ?? ["max_gen_toks", 256]
  const maxTokens = numeric(asked)
  if (typeof maxTokens !== "number" || !Number.isInteger(maxTokens) || maxTokens < 1) {
    return yield* fail(most, `expected an integer of at least 1, got ${JSON.stringify(asked)}`)
  }
  const sampled = given["do_sample"] ?? undefined
  if (sampled !== undefined && typeof sampled !== "boolean") {
    return yield* fail("do_sample", `expected true or false, got ${JSON.stringify(sampled)}`)
  }
  const drawing: { -readonly [K in keyof Drawing]: Drawing[K] } = {}
  for (const [key, { expected, fits, neutral, option }] of Object.entries(drawn)) {
    const value = key === "temperature" ? numeric(given[key]) : given[key]
    if (value === undefined || value === null) continue
    if (typeof value !== "number" || !fits(value)) {
      return yield* fail(key, `expected ${expected}, got ${JSON.stringify(value)}`)
    }
    if (value !== neutral) drawing[option] = value
  }
  const temperature = sampled === false ? 0 : (drawing.temperature ?? (sampled === true ? 1 : 0))
  const { repetitionPenalty, ...rest } = drawing
  const penalty = repetitionPenalty === undefined ? {} : { repetitionPenalty }
  const settings = {
    ...(temperature > 0 ? { ...rest, temperature } : {}),
    ...penalty,
  }
  return {
    until: until.filter((stop) => stop !== ""),
    maxTokens,
    ...(Object.keys(settings).length === 0 ? {} : { drawing: settings }),
  }
})
