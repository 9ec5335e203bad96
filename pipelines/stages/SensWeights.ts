/**
 * Sens-Merging's coefficients (Liu et al., 2025, arXiv 2502.12420; no official code is public, so open points are
 * options).
 *
 *     α(i, l) = s(i, l) / ‖s(i, ·)‖₂            sensitivity of expert i's own loss to layer l, normalised over layers
 *     τ(i)    = Σ_j g(i, j) / Σ_i' Σ_j g(i', j)  how far expert i's logits are from specialist j's on j's data
 *     σ(i, l) = softmax over i of α(i, l) · τ(i) / T
 *
 * The coefficient is K σ: 1 where all are equal, so that λ is task arithmetic's. Open: whether a far expert gets more
 * (`distance`, as the one executable source has it) or less (`inverseDistance`, as the paper's prose reads); whether T
 * divides or multiplies; and the factor before the sum, which is λ here. Numbers in, numbers out.
 */
import { Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { LogitDistance, Sensitivity } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Coefficients from "./Coefficients.ts"

export interface Options {
  /** Both factors, or one of them with the other at 1. */
  readonly use: "both" | "alpha" | "tau"
  readonly tau: "distance" | "inverseDistance"
  readonly temperature: number
  readonly temperatureMode: "divide" | "multiply"
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((total, value) => total + value, 0)

/** α of one expert, by layer: on the unit sphere; equal where all sensitivities are 0. */
export const alphas = (sensitivities: ReadonlyArray<number>): ReadonlyArray<number> => {
  const length = Math.hypot(...sensitivities)
  return sensitivities.map((value) => (length > 0 ? value / length : 1 / Math.sqrt(sensitivities.length)))
}

/**
 * τ of every expert, sum 1; `distances[i][j]` is that of expert i's logits from specialist j's on j's data. Equal where
 * all are 0; the inverse distance of an expert that equals all others is taken as large, not as infinite.
 */
export const taus = (
  distances: ReadonlyArray<ReadonlyArray<number>>,
  tau: Options["tau"],
): ReadonlyArray<number> => {
  const far = distances.map((row, i) => sum(row.filter((_, j) => j !== i)))
  const total = sum(far)
  if (!(total > 0)) return far.map(() => 1 / far.length)
  if (tau === "distance") return far.map((value) => value / total)
  const near = far.map((value) => 1 / Math.max(value, 1e-6 * total))
  return near.map((value) => value / sum(near))
}

/** σ of every expert in one layer: sums to 1, the largest exponent taken off first. */
const softmax = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const largest = Math.max(...values)
  const powers = values.map((value) => Math.exp(value - largest))
  return powers.map((power) => power / sum(powers))
}

/** K σ, [groups][experts]; `sensitivities[i]` of expert i by group, all in one order of groups. */
export const weights = (
  sensitivities: ReadonlyArray<ReadonlyArray<number>>,
  distances: ReadonlyArray<ReadonlyArray<number>>,
  { tau, temperature, temperatureMode, use }: Options,
): ReadonlyArray<ReadonlyArray<number>> => {
  const experts = sensitivities.length
  const alpha = sensitivities.map(alphas)
  const scaling = taus(distances, tau)
  const factor = temperatureMode === "divide" ? 1 / temperature : temperature
  return at(sensitivities, 0).map((_, group) =>
    softmax(
      alpha.map((own, i) => {
        const a = use === "tau" ? 1 : at(own, group)
        const t = use === "alpha" ? 1 : at(scaling, i)
        return factor * a * t
      }),
    ).map((sigma) => experts * sigma),
  )
}

/**
 * The coefficients of experts by layer: `sensitivities` of each on its own data; `distances` of all experts from each
 * specialist on the specialist's data, in the same order.
 */
export const sensCoefficients = Stage.make({
  name: "sens-coefficients",
  version: 1,
  inputs: {
    sensitivities: Stage.each(Sensitivity.artifact),
    distances: Stage.each(LogitDistance.artifact),
  },
  params: {
    use: Schema.Literals(["both", "alpha", "tau"]),
    tau: Schema.Literals(["distance", "inverseDistance"]),
    temperature: Schema.Finite.check(Schema.isGreaterThan(0)),
    temperatureMode: Schema.Literals(["divide", "multiply"]),
  },
  output: Coefficients.artifact,
  run: ({ distances, sensitivities }, options) => {
    const groups = at(sensitivities, 0).rows.map(({ group }) => group)
    const scores = sensitivities.map(({ rows }) => rows.map(({ score }) => score))
    const between = sensitivities.map((_, i) => distances.map(({ rows }) => at(rows, i).score))
    return Effect.succeed({
      rows: weights(scores, between, options).map((row, g) => ({ group: at(groups, g), weights: row })),
    })
  },
})
