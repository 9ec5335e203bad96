/**
 * Variants of HILA that were tried to get above tuned task arithmetic, in the order of the rounds. All of them are tuned
 * as every other method is; which help is in docs.
 *
 * Round 1 changes HILA's own numbers: importance shrunk by its own error, so that what is not known for sure is neither
 * dropped nor starved, densities that follow importance less, a λ of its own for what lies outside of layers. Round 2 lets
 * golden data decide inside matrices, with importance as weights between experts and as strength of the ridge. Round 3
 * measures inputs where they will be, in the merge, and starts from pruned experts.
 */
import { Stages as Merging } from "@hila/merge"
import type { Entry } from "./Baselines.ts"
import { stiffness, weighed } from "./Factors.ts"
import { hila, pruned, type Scored } from "./Hila.ts"
import {
  inside,
  regression,
  regressionAmong,
  regressionWith,
  type Statistics,
  statisticsOf,
} from "./Regression.ts"
import { shrunkOf } from "./Shrunk.ts"
import type { Bench, Golden } from "./Tuned.ts"

const rests = [0.3, 0.5, 0.75] as const
const settings = { rhos: [1, 10, 100], lambdas: [0.4] }
const full = { kind: "kronecker" } as const
/** All units alike. */
const even = { gamma: 0, dropFraction: 0, floor: 1 }
/** Densities that follow importance half as much, no unit dropped. */
const gentle = { gamma: 0.5, dropFraction: 0, floor: 0.1 }

/** Statistics with importance as weights between experts: each expert's factors times its share of a unit. */
const shared = (
  bench: Bench,
  scored: ReadonlyArray<Scored>,
  statistics: ReadonlyArray<Statistics>,
  temperature: number,
) => {
  const weights = Merging.adaptiveWeights({ importance: scored }, { temperature }, `T ${temperature}`)
  return statistics.map((own, expert) =>
    weighed({ model: bench.base, statistics: own, weights }, { expert }, `${expert} T ${temperature}`),
  )
}

/** Task vectors pruned inside of units to an even density, and numbers to go with them. */
const sparseOf = (bench: Bench, scored: ReadonlyArray<Scored>) => ({
  rhos: [1, 10, 100],
  // What is pruned sums to less, so that its task arithmetic goes further.
  lambdas: [0.55],
  targets: pruned(bench, scored, 0.4, even),
})

/**
 * What helped on the tune split of some family, as one method: regression fusion as it is, with importance as weights
 * between experts, and with those of pruned experts; tuning takes what is best, with one budget for all.
 */
const hilaRegression = (
  bench: Bench,
  row: string,
  scored: ReadonlyArray<Scored>,
  drawn: ReadonlyArray<Golden>,
): Entry => {
  const plain = statisticsOf(bench, drawn, full)
  const statistics = shared(bench, scored, plain, 1)
  const rhos = [1, 100]
  return regressionAmong(bench, row, [
    { name: "plain", statistics: plain, settings: { ...settings, rhos } },
    { name: "shares", statistics, settings: { ...settings, rhos } },
    { name: "pruned, shares", statistics, settings: { ...sparseOf(bench, scored), rhos } },
  ])
}

/** HILA's own numbers. */
export const first = (bench: Bench, scored: ReadonlyArray<Scored>): ReadonlyArray<Entry> => {
  const sure = shrunkOf(scored)
  return [
    hila(bench, "HILA, weighting only", scored, { densities: [1], temperatures: [1, 8] }),
    hila(bench, "HILA, shrunk, weighting only", sure, { densities: [1], temperatures: [1, 8] }),
    hila(bench, "HILA, shrunk", sure, { densities: [0.4, 0.7], follow: gentle, temperatures: [8] }),
    hila(bench, "HILA, shrunk, λ outside", sure, {
      densities: [0.4],
      follow: gentle,
      temperatures: [Infinity],
      rests,
    }),
    hila(bench, "null: even density, λ outside", scored, {
      densities: [0.4],
      follow: even,
      temperatures: [Infinity],
      rests,
    }),
  ]
}

/** Regression fusion, and importance in it. */
export const second = (
  bench: Bench,
  scored: ReadonlyArray<Scored>,
  drawn: ReadonlyArray<Golden>,
): ReadonlyArray<Entry> => {
  const statistics = statisticsOf(bench, drawn, full)
  return [
    regression(bench, "hila-regression", drawn, full, settings),
    ...[1, 8].map((temperature) =>
      regressionWith(
        bench,
        `hila-regression, shares T ${temperature}`,
        shared(bench, scored, statistics, temperature),
        settings,
      ),
    ),
    regressionWith(bench, "hila-regression, ridge by importance", statistics, {
      ...settings,
      stiffness: stiffness({ importance: scored }, { gamma: 1 }),
    }),
  ]
}

/** Inputs as the merge has them, and experts pruned to an even density, as round 1 found best. */
export const third = (
  bench: Bench,
  scored: ReadonlyArray<Scored>,
  drawn: ReadonlyArray<Golden>,
): ReadonlyArray<Entry> => {
  const statistics = statisticsOf(bench, drawn, full)
  const once = regression(bench, "hila-regression", drawn, full, settings)
  const within = inside(once.tuned.model, drawn, statistics)
  const sparse = sparseOf(bench, scored)
  return [
    regressionWith(bench, "hila-regression, inside", within, settings),
    regressionWith(bench, "hila-regression, pruned", statistics, sparse),
    regressionWith(bench, "hila-regression, pruned, inside", within, sparse),
    hilaRegression(bench, "HILA regression", scored, drawn),
  ]
}
