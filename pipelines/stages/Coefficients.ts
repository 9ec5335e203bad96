/**
 * Coefficients of task vectors: one per expert and group of weights, a layer or a unit; 1 is what task arithmetic has.
 *
 * Everything that decides how much of which expert goes where is such a table (HILA's shares, Sens-Merging's σ, a
 * learned coefficient), so that all of them are tuned, merged and shown by the same code. λ is no part of it.
 */
import { Artifact, Stage } from "@hila/core"
import { at, entryOr } from "@hila/core/Lookup"
import { UnitWeights } from "@hila/merge"
import {
  Checkpoint as Checkpoints,
  LayerGroup,
  Unit,
  UnitGroup,
  UnitTable,
  type VirtualMerge,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** A group by its name, see `LayerGroup` and `UnitGroup`, with a coefficient for every expert. */
const Row = Schema.Struct({ group: Schema.String, weights: Schema.Array(Schema.Finite) })

/** With a scheme the groups are its units, and the layers for what lies in none. Groups that are not named have 1. */
export const Coefficients = Schema.Struct({
  scheme: Schema.optionalKey(UnitTable.Scheme),
  rows: Schema.Array(Row),
})
export type Coefficients = typeof Coefficients.Type

const range = (rows: Coefficients["rows"]): string => {
  const values = rows.flatMap(({ weights }) => weights)
  return values.length === 0
    ? "all 1"
    : `${Math.min(...values).toFixed(3)} … ${Math.max(...values).toFixed(3)}`
}

/** Coefficients in the store. */
export const artifact: Artifact.Artifact<Coefficients> = Artifact.json("coefficients", Coefficients, {
  summary: ({ rows }) => `${rows.length} groups, ${range(rows)}`,
  show: ({ rows }) =>
    rows
      .map(
        ({ group, weights }) =>
          `  ${group.padEnd(28)} ${weights.map((weight) => weight.toFixed(3)).join("  ")}`,
      )
      .join("\n"),
})

/** Task arithmetic's. */
export const even: Coefficients = { rows: [] }

/** How the weights of a model are divided into the groups of a table. */
export const grouping = Effect.fnUntraced(function* (base: Checkpoints.Checkpoint, { scheme }: Coefficients) {
  if (scheme === undefined) return LayerGroup.of satisfies VirtualMerge.Grouping
  const { units } = yield* Unit.partition(base, scheme)
  return UnitGroup.of(units)
})

/** The layer of a group, or nothing for what lies outside of all layers: the first number of its name. */
export const layerOf = (group: string): number | undefined => {
  const found = /(?:^|\.)(\d+)(?:\.|$)/.exec(group)?.[1]
  return found === undefined ? undefined : Number(found)
}

/**
 * Numbers that every table can be tuned by. `lambda` multiplies everything; `slope` b makes it λ (1 + b · l/(L − 1)) in
 * layer l of L (LiNeS: Wang et al., 2024, with b = β/α); `rest` stands in for λ outside of all layers; `expert.<i>`
 * multiplies what comes from expert i, from 0.
 */
export const isParameter = (name: string): boolean => /^(?:lambda|slope|rest|expert\.\d+)$/.test(name)

/** [experts, groups]: the coefficients of a table at a setting of its numbers. */
export const lambdas = (
  { rows }: Coefficients,
  groups: ReadonlyArray<string>,
  experts: number,
  setting: Readonly<Record<string, number>>,
): Float32Array => {
  const { lambda = 1, slope = 0 } = setting
  const { rest = lambda } = setting
  const byGroup = new Map(rows.map(({ group, weights }) => [group, weights]))
  /** A group that a table does not name has 1. */
  const weightOf = (group: string, expert: number) => {
    const own = byGroup.get(group)
    return own === undefined ? 1 : at(own, expert)
  }
  const last = Math.max(1, ...groups.map((group) => layerOf(group) ?? 0))
  const factor = (group: string) => {
    const layer = layerOf(group)
    return layer === undefined ? rest : lambda * (1 + (slope * layer) / last)
  }
  return Float32Array.from(
    Array.from({ length: experts }, (_, expert) =>
      groups.map(
        (group) => entryOr(setting, `expert.${expert}`, 1) * factor(group) * weightOf(group, expert),
      ),
    ).flat(),
  )
}

/**
 * K · w of every unit: 1 everywhere where all experts have the same share. Outside the units a layer has the mean of its
 * units' (`mean`), 1 (`uniform`) or 0 (`base`); what lies outside of all layers has 1, or 0 for `base`.
 */
export const ofUnits = (
  { experts, rows, scheme }: UnitWeights.UnitWeights,
  groups: ReadonlyArray<string>,
  residual: "mean" | "uniform" | "base",
): Coefficients => {
  const units = rows.map(({ layer, unit, weights }) => ({
    group: unit,
    layer,
    weights: weights.map((weight) => weight * experts),
  }))
  const named = new Set(units.map(({ group }) => group))
  const outside = (group: string) => {
    const own = units.filter(({ layer }) => layer === layerOf(group))
    return Array.from({ length: experts }, (_, expert) => {
      if (residual !== "mean" || own.length === 0) return residual === "base" ? 0 : 1
      return own.reduce((sum, { weights }) => sum + at(weights, expert), 0) / own.length
    })
  }
  return {
    scheme,
    rows: [
      ...units.map(({ group, weights }) => ({ group, weights })),
      ...groups.filter((group) => !named.has(group)).map((group) => ({ group, weights: outside(group) })),
    ],
  }
}

/** Shares of units as coefficients. */
export const unitCoefficients = Stage.make({
  name: "unit-coefficients",
  version: 1,
  inputs: { base: Checkpoints.artifact, weights: UnitWeights.artifact },
  params: { residual: Schema.Literals(["mean", "uniform", "base"]) },
  output: artifact,
  run: Effect.fnUntraced(function* ({ base, weights }, { residual }) {
    const { residual: tensors } = yield* Unit.partition(base, weights.scheme)
    return ofUnits(weights, [...new Set(tensors.map(LayerGroup.of))], residual)
  }),
})
