/**
 * Ranking: how far two ways of scoring put units in the same order.
 *
 * All measures look at ranks, not at values, so methods of different scale compare. Ties get the mean of their ranks.
 */
import { known } from "@hila/core/Lookup"

/** Ranks from 1 for the smallest; equal values share the mean of the ranks they take up. */
export const ranks = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const order = values.map((_, index) => index).toSorted((a, b) => known(values[a]) - known(values[b]))
  const result = Array.from(values, () => 0)
  for (let start = 0; start < order.length;) {
    let end = start + 1
    while (end < order.length && values[known(order[end])] === values[known(order[start])]) end++
    for (let at = start; at < end; at++) result[known(order[at])] = (start + 1 + end) / 2
    start = end
  }
  return result
}

/** Pearson's correlation of two equally long lists, −1…1; NaN where one of them is constant. */
const correlation = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const mean = (values: ReadonlyArray<number>) =>
    values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanA, meanB] = [mean(a), mean(b)]
  let [product, squaresA, squaresB] = [0, 0, 0]
  for (const [index, value] of a.entries()) {
    const [x, y] = [value - meanA, known(b[index]) - meanB]
    product += x * y
    squaresA += x * x
    squaresB += y * y
  }
  return product / Math.sqrt(squaresA * squaresB)
}

/**
 * Spearman's ρ, the correlation of ranks, −1…1; NaN where one list is constant (Spearman 1904).
 *
 * @example
 * Ranking.spearman([1, 2, 3], [10, 20, 90]) // => 1
 */
export const spearman = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number =>
  correlation(ranks(a), ranks(b))

/**
 * Kendall's τ-b: concordant minus discordant pairs over the geometric mean of the pairs not tied in each list, −1…1;
 * NaN where one list is constant (Kendall 1945).
 */
export const kendall = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  let [balance, pairsA, pairsB] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j < i; j++) {
      const x = Math.sign(known(a[i]) - known(a[j]))
      const y = Math.sign(known(b[i]) - known(b[j]))
      balance += x * y
      pairsA += x * x
      pairsB += y * y
    }
  }
  return balance / Math.sqrt(pairsA * pairsB)
}

/** Share of the k largest of one list that are among the k largest of the other, 0…1; ties go to the lower index. */
export const topOverlap = (a: ReadonlyArray<number>, b: ReadonlyArray<number>, k: number): number => {
  const top = (values: ReadonlyArray<number>) =>
    new Set(
      values
        .map((_, index) => index)
        .toSorted((i, j) => known(values[j]) - known(values[i]) || i - j)
        .slice(0, k),
    )
  const size = Math.min(k, a.length)
  return size === 0 ? 0 : [...top(a)].filter((index) => top(b).has(index)).length / size
}
