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
import { inside, regression, regressionWith, statisticsOf } from "./Regression.ts"
import { shrunk } from "./Shrunk.ts"
import type { Bench, Golden } from "./Tuned.ts"

const rests = [0.3, 0.5, 0.75] as const
const settings = { rhos: [1, 10, 100], lambdas: [0.4] }
const full = { kind: "kronecker" } as const
/** All units alike. */
const even = { gamma: 0, dropFraction: 0, floor: 1 }
/** Densities that follow importance half as much, no unit dropped. */
const gentle = { gamma: 0.5, dropFraction: 0, floor: 0.1 }

const shrunkOf = (scored: ReadonlyArray<Scored>): ReadonlyArray<Scored> =>
  scored.map((importance, i) => shrunk({ importance }, {}, `${i}`))

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
  const shares = (temperature: number) => {
    const weights = Merging.adaptiveWeights({ importance: scored }, { temperature }, `T ${temperature}`)
    return statistics.map((own, expert) =>
      weighed({ model: bench.base, statistics: own, weights }, { expert }, `${expert} T ${temperature}`),
    )
  }
  return [
    regression(bench, "hila-regression", drawn, full, settings),
    ...[1, 8].map((temperature) =>
      regressionWith(bench, `hila-regression, shares T ${temperature}`, shares(temperature), settings),
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
  // What is pruned sums to less, so that its task arithmetic goes further.
  const sparse = { rhos: [1, 10, 100], lambdas: [0.55], targets: pruned(bench, scored, 0.4, even) }
  return [
    regressionWith(bench, "hila-regression, inside", within, settings),
    regressionWith(bench, "hila-regression, pruned", statistics, sparse),
    regressionWith(bench, "hila-regression, pruned, inside", within, sparse),
  ]
}
