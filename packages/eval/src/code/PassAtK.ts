/**
 * pass@k: the probability that at least one of k samples of a problem is right.
 *
 * In task files it is the metric `pass@k` with `k`, a number or a list of them, or `pass@1` and so on by its name.
 */
import * as Result from "effect/Result"
import type { MetricEntry } from "../tasks/TaskConfig.ts"

/** The k of a metric's name, such as 10 of "pass@10". */
export const kOf = (metric: unknown): number | undefined => {
  const [, k] = /^pass@([1-9]\d*)$/.exec(typeof metric === "string" ? metric : "") ?? []
  return k === undefined ? undefined : Number(k)
}

/** An entry of pass@k as one entry for each k, any other as it is. */
export const expand = (entry: MetricEntry): Result.Result<ReadonlyArray<MetricEntry>, string> => {
  if (entry.metric !== "pass@k") return Result.succeed([entry])
  const { k, ...rest } = entry
  const all: ReadonlyArray<unknown> = Array.isArray(k) ? k : [k]
  return all.length > 0 && all.every((one) => Number.isSafeInteger(one) && Number(one) >= 1)
    ? Result.succeed(all.map((one) => ({ ...rest, metric: `pass@${String(one)}` })))
    : Result.fail(`k: expected one or more integers of at least 1, got ${JSON.stringify(k)}`)
}

/**
 * The unbiased estimate from n samples of which c are right, 1 − C(n−c, k) / C(n, k), as a product so that it does
 * not overflow; 0 ≤ c ≤ n, 1 ≤ k ≤ n. Chen et al. 2021, "Evaluating Large Language Models Trained on Code", eq. 1.
 *
 * @example
 * PassAtK.estimate({ samples: 4, correct: 2, k: 1 }) // => 0.5
 */
export const estimate = ({
  correct,
  k,
  samples,
}: {
  readonly samples: number
  readonly correct: number
  readonly k: number
}): number => {
  if (samples - correct < k) return 1
  let none = 1
  for (let i = samples - correct + 1; i <= samples; i++) none *= 1 - k / i
  return 1 - none
}
