/**
 * Sampling: from the logits of one position to the next token.
 *
 * The processors and their order are those that checkpoints' generation settings were tuned with: repetition penalty,
 * temperature, top-k, top-p, min-p. Each of the last three keeps all tokens from some score on, so one threshold stands
 * for all of them, and tokens that tie at it are kept together. Which number is drawn is not decided here.
 */
import { known } from "@hila/core/Lookup"

/** How the next token is chosen; without any of these, the most likely one. */
export interface Sampling {
  /** What logits are divided by, ≥ 0; 0 takes the most likely token. Default: 0. */
  readonly temperature?: number
  /** Only the k most likely tokens, ≥ 1. */
  readonly topK?: number
  /** Only the most likely tokens that together have this probability (Holtzman et al., 2020), in (0, 1]. */
  readonly topP?: number
  /** Only tokens at least this likely relative to the most likely one (Nguyen et al., 2024), in [0, 1]. */
  readonly minP?: number
  /** Divides positive logits of tokens seen, prompt included, multiplies negative ones (Keskar et al., 2019); > 0. */
  readonly repetitionPenalty?: number
}

/** Tokens that may come next, by id, and their probabilities, which add up to 1. */
export interface Distribution {
  readonly tokens: Int32Array // [kept]
  readonly probabilities: Float64Array // [kept]
}

/** What is wrong with settings, as a line, or undefined. */
export const problem = (sampling: Sampling): string | undefined => {
  const { minP = 0, repetitionPenalty = 1, temperature = 0, topK = 1, topP = 1 } = sampling
  if (!(temperature >= 0 && temperature < Infinity))
    return `temperature: expected a number of at least 0, got ${temperature}`
  if (!Number.isInteger(topK) || topK < 1) return `topK: expected an integer of at least 1, got ${topK}`
  if (!(topP > 0 && topP <= 1)) return `topP: expected a number in (0, 1], got ${topP}`
  if (!(minP >= 0 && minP <= 1)) return `minP: expected a number in [0, 1], got ${minP}`
  if (!(repetitionPenalty > 0 && repetitionPenalty < Infinity))
    return `repetitionPenalty: expected a number above 0, got ${repetitionPenalty}`
  return undefined
}

/** Whether the choice is the most likely token of the model itself, which a graph can take on its own. */
export const isPlain = ({ repetitionPenalty = 1, temperature = 0 }: Sampling): boolean =>
  temperature === 0 && repetitionPenalty === 1

/** Lowest index of the largest value. */
const argMax = (values: Float32Array): number => {
  let best = 0
  for (let i = 1; i < values.length; i++) if (known(values[i]) > known(values[best])) best = i
  return best
}

/** log Σ exp(logits), in float64; not finite where the logits are not. */
export const logSumExp = (logits: Float32Array): number => {
  let max = -Infinity
  for (const value of logits) if (!(value <= max)) max = value
  let sum = 0
  for (const value of logits) sum += Math.exp(value - max)
  return max + Math.log(sum)
}

const penalised = (logits: Float32Array, seen: ReadonlyArray<number>, penalty: number): Float32Array => {
  if (penalty === 1) return logits
  const scores = logits.slice()
  for (const token of new Set(seen)) {
    const score = known(scores[token])
    scores[token] = score < 0 ? score * penalty : score / penalty
  }
  return scores
}

/** The lowest score that top-k, top-p and min-p leave in, given scores and how likely each is relative to the best. */
const threshold = (
  scores: Float32Array,
  weight: (score: number) => number,
  { minP = 0, topK, topP = 1 }: Sampling,
): number => {
  if (topK === undefined && topP === 1 && minP === 0) return -Infinity
  const sorted = scores.toSorted() // ascending
  const best = sorted.length - 1
  let lowest = known(sorted[Math.max(0, sorted.length - (topK ?? sorted.length))])
  if (topP < 1) {
    let total = 0
    for (let i = best; i >= 0 && known(sorted[i]) >= lowest; i--) total += weight(known(sorted[i]))
    // A token stays while those above it have less than topP.
    let above = 0
    let i = best
    while (i >= 0 && known(sorted[i]) >= lowest && above < topP * total) above += weight(known(sorted[i--]))
    lowest = known(sorted[i + 1])
  }
  if (minP > 0) {
    let i = best
    while (i > 0 && known(sorted[i - 1]) >= lowest && weight(known(sorted[i - 1])) >= minP) i--
    lowest = known(sorted[i])
  }
  return lowest
}

/** The distribution that the next token is drawn from; `seen` are the tokens so far, the prompt's included. */
export const distribution = (
  logits: Float32Array,
  seen: ReadonlyArray<number>,
  sampling: Sampling,
): Distribution => {
  const { repetitionPenalty = 1, temperature = 0 } = sampling
  const scores = penalised(logits, seen, repetitionPenalty)
  const first = argMax(scores)
  if (temperature === 0) return { tokens: Int32Array.of(first), probabilities: Float64Array.of(1) }
  const max = known(scores[first])
  const weight = (score: number) => Math.exp((score - max) / temperature)
  const lowest = threshold(scores, weight, sampling)
  const kept: Array<number> = []
  for (let i = 0; i < scores.length; i++) if (known(scores[i]) >= lowest) kept.push(i)
  const weights = Float64Array.from(kept, (token) => weight(known(scores[token])))
  const total = weights.reduce((sum, value) => sum + value, 0)
  return { tokens: Int32Array.from(kept), probabilities: weights.map((value) => value / total) }
}

/** The token at `u` in [0, 1) of the cumulative distribution. */
export const draw = ({ probabilities, tokens }: Distribution, u: number): number => {
  let cumulative = 0
  for (let i = 0; i < tokens.length; i++) {
    cumulative += known(probabilities[i])
    if (u < cumulative) return known(tokens[i])
  }
  // Rounding may leave the sum a little below 1.
  return known(tokens[probabilities.findLastIndex((p) => p > 0)])
}
