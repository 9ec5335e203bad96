/**
 * Coverage of intervals and level of tests in simulated comparisons, as `hila eval compare` makes them.
 *
 * `npm run coverage`: 10,000 comparisons of each kind at 20, 60 and 500 items, or as many as the first argument says.
 * Tests hold smaller numbers to bounds; this prints what they are.
 */
import * as PairedMeans from "../../src/results/PairedMeans.ts"
import * as PairedProportions from "../../src/results/PairedProportions.ts"
import * as PythonRandom from "../../src/tasks/PythonRandom.ts"

const trials = Number(process.argv[2] ?? 10_000)
const random = PythonRandom.make(1)

interface Kind {
  readonly name: string
  readonly difference: number
  readonly compare: (n: number, seed: number) => { low: number; high: number; pValue: number }
}

/** Scores of 0 and 1 of which a share ψ differ, the first being right in (ψ + d) / 2. */
const proportions = (psi: number, difference: number): Kind => ({
  name: `0 and 1, discordance ${psi}, difference ${difference}`,
  difference,
  compare: (n) => {
    let [b, c] = [0, 0]
    for (let i = 0; i < n; i++) {
      const u = random.random()
      if (u < (psi + difference) / 2) b++
      else if (u < psi) c++
    }
    return { ...PairedProportions.interval(b, c, n), pValue: PairedProportions.mcNemar(b, c) }
  },
})

const means = (name: string, draw: () => number): Kind => ({
  name: `means, ${name}`,
  difference: 0,
  compare: (n, seed) => PairedMeans.studentised(Array.from({ length: n }, draw), { seed, replicates: 999 }),
})

const kinds: ReadonlyArray<Kind> = [
  proportions(0.1, 0),
  proportions(0.4, 0),
  proportions(0.2, 0.1),
  proportions(0.5, 0.3),
  means("even", () => random.random() + random.random() - 1),
  means("skewed", () => -Math.log(1 - random.random()) - 1),
]

console.log("items  covered  rejected  contradictions")
for (const { compare, difference, name } of kinds) {
  for (const n of [20, 60, 500]) {
    let [covered, rejected, contradictions] = [0, 0, 0]
    for (let trial = 0; trial < trials; trial++) {
      const { high, low, pValue } = compare(n, trial)
      covered += Number(low <= difference && difference <= high)
      rejected += Number(pValue <= 0.05)
      contradictions += Number((low > 0 || high < 0) !== pValue <= 0.05)
    }
    const share = (count: number) => `${((100 * count) / trials).toFixed(1)} %`.padStart(8)
    console.log(
      `${String(n).padStart(5)} ${share(covered)}  ${share(rejected)}  ${String(contradictions).padStart(14)}  ${name}`,
    )
  }
}
