/**
 * Requests: what a model is asked, as texts, and its answers. Equal requests are one request, whatever task they come
 * from, and a digest names one in a journal.
 */
import { Digest } from "@hila/core"
import type { Generation } from "../tasks/Generation.ts"

export type Request =
  | { readonly _tag: "LogLikelihood"; readonly context: string; readonly continuation: string }
  | { readonly _tag: "Rolling"; readonly text: string }
  | {
      readonly _tag: "Generate"
      readonly context: string
      readonly generation: Generation
      /** Which of several texts that are drawn for one context; from 0 on. */
      readonly sample?: number
    }

/** The answer to a request: a log-likelihood in nats and whether it is greedy, or a text. */
export type Answer = readonly [number, boolean] | number | string

/** What tells one request from another, in JSON. */
const identity = (request: Request): ReadonlyArray<unknown> => {
  switch (request._tag) {
    case "LogLikelihood":
      return ["loglikelihood", request.context, request.continuation]
    case "Rolling":
      return ["loglikelihood_rolling", request.text]
    case "Generate": {
      const { drawing, maxTokens, until } = request.generation
      const own = drawing === undefined ? [] : [drawing, request.sample ?? 0]
      return ["generate_until", request.context, until, maxTokens, ...own]
    }
  }
}

/** The name of a request to a model, 64 hexadecimal digits; `model` stands for its weights and settings. */
export const digest = (model: string, request: Request): string =>
  Digest.of(JSON.stringify([model, ...identity(request)]))
