/**
 * Two models' scores of 0 and 1 on the same items: a test, an interval and the detectable difference from one model of
 * the data.
 *
 * Only discordant items, which one of the two gets right, tell the models apart: `onlyFirst` of n are right with the
 * first alone and `onlySecond` with the second alone. The test is McNemar's in its exact form. The interval holds the
 * differences that a test at 5 % does not reject: the score test of Tango (Statistics in Medicine 17, 1998), and at 0 the
 * exact test itself, so that it holds 0 if and only if the exact test does not reject.
 */
import { known } from "@hila/core/Lookup"

/** Normal quantiles of a two-sided level of 5 % and a power of 80 %. */
const level = 1.959963984540054
const power = 0.8416212335729143

/** The least value of [low, high] for which a test that turns from false to true once is true, to full precision. */
const firstTrue = (low: number, high: number, test: (value: number) => boolean): number => {
  let [no, yes] = [low, high]
  for (;;) {
    const middle = (no + yes) / 2
    if (middle <= no || middle >= yes) return yes
    if (test(middle)) yes = middle
    else no = middle
  }
}

/** log P(k successes of n) at probability ½, up to the factor that all k share. */
const halves = (n: number): ReadonlyArray<number> => {
  const logs = [-n * Math.LN2]
  let log = -n * Math.LN2
  for (let k = 0; k < n; k++) logs.push((log += Math.log(n - k) - Math.log(k + 1)))
  return logs
}

/**
 * McNemar's exact test (1947): of the items that only one model gets right, is it as often the one as the other?
 * Two-sided binomial probability; 1 where the models never differ.
 */
export const mcNemar = (onlyFirst: number, onlySecond: number): number => {
  const tail = halves(onlyFirst + onlySecond).slice(0, Math.min(onlyFirst, onlySecond) + 1)
  return Math.min(1, 2 * tail.reduce((sum, log) => sum + Math.exp(log), 0))
}

/** Tango's score statistic of a difference δ, falling in δ: standard normal where δ is the true one. */
const score = (onlyFirst: number, onlySecond: number, n: number, delta: number): number => {
  // The share that only the second gets right, as likely as can be under δ: the root of a quadratic.
  const a = 2 * n
  const b = -onlyFirst - onlySecond + (2 * n - onlyFirst + onlySecond) * delta
  const c = -onlySecond * delta * (1 - delta)
  const share = (Math.sqrt(Math.max(0, b * b - 4 * a * c)) - b) / (2 * a)
  const variance = n * (2 * share + delta * (1 - delta))
  const distance = onlyFirst - onlySecond - n * delta
  return variance > 0 ? distance / Math.sqrt(variance) : Math.sign(distance) * Infinity
}

/** The 95 % interval of the first model's share of right items minus the second's; n items, at least 1. */
export const interval = (
  onlyFirst: number,
  onlySecond: number,
  n: number,
): { readonly low: number; readonly high: number } => {
  const difference = (onlyFirst - onlySecond) / n
  const low = firstTrue(-1, difference, (delta) => score(onlyFirst, onlySecond, n, delta) <= level)
  const high = firstTrue(difference, 1, (delta) => score(onlyFirst, onlySecond, n, delta) < -level)
  const rejected = mcNemar(onlyFirst, onlySecond) < 0.05
  // A bound is a real number; one that only the exact test keeps from 0 lies at 0, and does not exclude it.
  return rejected ? { low, high } : { low: Math.min(0, low), high: Math.max(0, high) }
}

/** Discordant items of which the exact test can first reject: 2 · ½⁶ < 5 %. */
const fewest = 6

/** Whether anything that could come of n items would reject; below, no result says anything. */
export const canReject = (n: number): boolean => n >= fewest

/** P(the exact test rejects) for n items of which a share ψ is discordant, with a difference d ≤ ψ. */
const powerOf = (n: number, psi: number, difference: number, rejects: ReadonlyArray<number>): number => {
  const up = (1 + difference / psi) / 2
  const binomial = (count: number, p: number): ReadonlyArray<number> => {
    const [yes, no] = [Math.log(p), Math.log(1 - p)]
    return halves(count).map((log, k) =>
      Math.exp(log + count * Math.LN2 + (k === 0 ? 0 : k * yes) + (k === count ? 0 : (count - k) * no)),
    )
  }
  let found = 0
  for (const [m, chance] of binomial(n, psi).entries()) {
    const most = known(rejects[m])
    if (most < 0 || chance < 1e-12) continue
    const tails = binomial(m, up)
    let rejected = 0
    for (let k = 0; k <= most; k++) rejected += known(tails[k]) + known(tails[m - k])
    found += chance * rejected
  }
  return found
}

/** By number of discordant items, the most that the rarer side may have for the exact test to reject; −1: never. */
const critical = (n: number): ReadonlyArray<number> =>
  Array.from({ length: n + 1 }, (_, m) => {
    let [sum, k] = [0, 0]
    const logs = halves(m)
    for (; k <= m / 2; k++) if ((sum += 2 * Math.exp(known(logs[k]))) >= 0.05) break
    return k - 1
  })

/** Above so many items the exact power is that of the normal distribution to a few parts in a hundred. */
const exactUpTo = 200

/**
 * The least difference that the exact test at 5 % finds with a probability of 80 % in n items, if the share
 * `discordance` of them is discordant, or as many as the difference itself needs. NaN where none would be found. Above
 * 200 items by Connor's formula (Biometrics 43, 1987): n = (z₀.₉₇₅ √ψ + z₀.₈ √(ψ − d²))² / d².
 */
export const detectable = (n: number, discordance: number): number => {
  if (!canReject(n)) return Number.NaN
  if (n > exactUpTo) {
    return firstTrue(0, 1, (d) => {
      const psi = Math.max(discordance, d)
      return d > 0 && (level * Math.sqrt(psi) + power * Math.sqrt(psi - d * d)) ** 2 <= n * d * d
    })
  }
  const rejects = critical(n)
  const enough = (d: number): boolean => powerOf(n, Math.max(discordance, d), d, rejects) >= 0.8
  // To three digits: each step is a sum over all that may come.
  const steps = 1000
  let [no, yes] = [0, steps]
  while (yes - no > 1) {
    const middle = Math.floor((no + yes) / 2)
    if (enough(middle / steps)) yes = middle
    else no = middle
  }
  return yes / steps
}
