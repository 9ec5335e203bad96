/**
 * pass@k: the probability that at least one of k samples of a problem is right.
 */

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
