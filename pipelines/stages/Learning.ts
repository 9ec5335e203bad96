/**
 * Learned coefficients as rows of a comparison.
 */
import { learn, learnedTable } from "./AdaMerging.ts"
import type { Entry } from "./Baselines.ts"
import { type Bench, type Golden, type Model, tuned } from "./Tuned.ts"

/** How coefficients are learned. */
export interface Learning {
  readonly by: "task" | "layer" | "unit"
  readonly objective: "entropy" | "loss"
  /** Task vectors; the experts' own unless given. */
  readonly directions?: ReadonlyArray<Model>
}

/** Coefficients learned on texts of every domain, at most as many steps as other methods have trials; and their model. */
export const learned = (
  bench: Bench,
  row: string,
  unlabeled: ReadonlyArray<Golden>,
  { by, directions = bench.experts, objective }: Learning,
): Entry => {
  const { base, golden } = bench
  const table = learnedTable({
    learned: learn(
      { base, directions, unlabeled, golden },
      { by, objective, init: 0.3, rate: 0.02, steps: bench.budget },
      row,
    ),
  })
  return {
    row,
    needs: `${bench.budget} passes forward and back`,
    tuned: tuned(bench, row, [{ name: "learned", directions, table }], {
      domains: { lambda: [1] },
      search: { _tag: "grid" },
    }),
  }
}
