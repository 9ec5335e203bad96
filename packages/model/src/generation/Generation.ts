/**
 * What is asked of a model that writes, and what it wrote.
 *
 * Types only; `generation/` has the work.
 */
import type { Sampling } from "./Sampling.ts"

/** Why a generation ended: an end-of-sequence token, a stop string or stop token, or the limit on tokens. */
export type End = "eos" | "stop" | "length"

/** How a model continues tokens: greedily, unless a temperature is given. */
export interface DecodeOptions extends Sampling {
  /** New tokens at most, ≥ 1. */
  readonly maxTokens: number
  /** Tokens that end a response, beside the model's own end-of-sequence tokens. */
  readonly stopTokens?: ReadonlyArray<number>
  /** Continuations of each prompt, ≥ 1; results hold those of the first prompt first. Default: 1. */
  readonly samples?: number
  /**
   * What is drawn depends on this, on the prompt and on which of its samples it is, not on the rest of the batch. An
   * integer ≥ 0. Default: 0.
   */
  readonly seed?: number
  /** Whether to give the log-probability of each token of a response. */
  readonly logProbabilities?: boolean
}

/** How a model continues a text. */
export interface GenerateOptions extends DecodeOptions {
  /** A response ends with the first of these in its text. */
  readonly stop?: ReadonlyArray<string>
  /** Whether the tokenizer adds its special tokens to a prompt; a chat template writes them itself. Default: true. */
  readonly addSpecial?: boolean
}

/** A continuation as tokens alone. */
export interface Continuation {
  readonly tokens: ReadonlyArray<number>
  readonly end: End
  /**
   * log p of each token in nats, where it was asked for: under the model itself, before penalties, temperature and
   * what is cut off.
   */
  readonly logProbabilities?: ReadonlyArray<number>
}

/** What a model wrote. An EOS token, and the token that completes a stop string, are the last of `tokens`. */
export interface Generation extends Continuation {
  readonly prompt: string
  /** The decoded response, without special tokens; a stop string is its end, what its last token adds is cut. */
  readonly response: string
  /** Prompt tokens, then response tokens. */
  readonly tokens: ReadonlyArray<number>
  readonly promptLength: number
}

/** One token of a response as it is written. */
export interface Piece {
  readonly token: number
  /** What the token adds to the response; empty for special tokens and until the bytes of a character are all there. */
  readonly text: string
  readonly logProbability?: number
  /** With the last piece. */
  readonly end?: End
}
