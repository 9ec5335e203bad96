/**
 * Drift: how far a model has moved from its base in what it would say next, on texts that are nobody's speciality.
 *
 *     KL(base ‖ model) = Σ_v p(v) · (log p(v) − log q(v)),  p the base's distribution, q the model's
 *
 * in nats, averaged over the positions of a text that predict one of its tokens; the first is predicted from the
 * beginning of a sequence. 0 for the base itself. Logits stream: those of one batch of both models are in memory.
 */
import { Artifact } from "@hila/core"
import { at, known } from "@hila/core/Lookup"
import { type CausalModel, Statistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { EvalError } from "./EvalError.ts"
import * as Answering from "./requests/Answering.ts"

/** Logits of one model that are in memory together. */
const mostLogits = 8_000_000

/** log Σ exp of a row of logits, in float64. */
const logSumExp = (logits: Float32Array, start: number, width: number): number => {
  let highest = -Infinity
  for (let v = 0; v < width; v++) highest = Math.max(highest, known(logits[start + v]))
  let sum = 0
  for (let v = 0; v < width; v++) sum += Math.exp(known(logits[start + v]) - highest)
  return highest + Math.log(sum)
}

/**
 * Mean KL divergence over the first `positions` rows of two [positions, width] matrices of logits, ≥ 0: rounding that
 * would make it negative is cut off.
 */
export const divergence = (
  base: Float32Array,
  model: Float32Array,
  positions: number,
  width: number,
): number => {
  let total = 0
  for (let row = 0; row < positions; row++) {
    const start = row * width
    const [p, q] = [logSumExp(base, start, width), logSumExp(model, start, width)]
    let own = 0
    for (let v = 0; v < width; v++) {
      const log = known(base[start + v]) - p
      own += Math.exp(log) * (log - (known(model[start + v]) - q))
    }
    total += Math.max(0, own)
  }
  return positions === 0 ? 0 : total / positions
}

/**
 * Mean divergence of each text, over its first `maxTokens` tokens or as many as the base reads at once; texts without a
 * token are an error, and so are models of different vocabularies.
 */
export const measure = Effect.fn("Drift.measure")(function* (
  base: CausalModel.CausalModel,
  model: CausalModel.CausalModel,
  texts: ReadonlyArray<string>,
  { maxTokens = Infinity }: { readonly maxTokens?: number } = {},
) {
  const { vocabSize } = base.shape
  if (vocabSize !== model.shape.vocabSize) {
    return yield* new EvalError({
      subject: "drift",
      problem: `the models have vocabularies of ${vocabSize} and ${model.shape.vocabSize} tokens; give models of one vocabulary`,
    })
  }
  const { maxLength, prefix, tokenizer } = (yield* Answering.respondent(base, "")).vocabulary
  // The last token of a text is only predicted.
  const rows = (yield* tokenizer.encodeAll(texts, { addSpecial: false })).map((whole) => {
    const tokens = whole.slice(0, Math.min(maxTokens, maxLength))
    return tokens.length === 0 ? [] : [prefix, ...tokens.slice(0, -1)]
  })
  const empty = rows.findIndex((row) => row.length === 0)
  if (empty >= 0) {
    return yield* new EvalError({
      subject: "drift",
      problem: `text ${empty} has no tokens; leave it out`,
    })
  }
  const values: Array<number> = []
  for (let start = 0; start < rows.length;) {
    let end = start + 1
    let longest = at(rows, start).length
    while (end < rows.length) {
      longest = Math.max(longest, at(rows, end).length)
      if (longest * (end + 1 - start) * vocabSize > mostLogits) break
      end++
    }
    const batch = rows.slice(start, end)
    const [p, q] = [yield* base.logits(batch), yield* model.logits(batch)]
    for (const [i, row] of batch.entries()) {
      values.push(divergence(at(p, i), at(q, i), row.length, vocabSize))
    }
    start = end
  }
  return values
})

/** A model's drift from its base. */
export const Drift = Schema.Struct({
  /** Mean over texts, nats per token. */
  mean: Schema.Finite,
  /** Standard error of the mean, over texts. */
  standardError: Schema.Finite,
  /** One mean per text, in their order. */
  texts: Schema.Array(Schema.Finite),
})
export type Drift = typeof Drift.Type

/** Sums up the drift of each text. */
export const ofTexts = (texts: ReadonlyArray<number>): Drift => ({
  mean: Statistics.mean(texts),
  standardError: Statistics.standardError(texts),
  texts,
})

/** Drift in the store, with every text's. */
export const artifact: Artifact.Artifact<Drift> = Artifact.json("drift", Drift, {
  summary: ({ mean, standardError, texts }) =>
    `${mean.toFixed(4)} ± ${standardError.toFixed(4)} nats per token over ${texts.length} texts`,
})
