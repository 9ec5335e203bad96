/**
 * Layer weights: for each group of tensors by layer, the coefficient of each expert in the merge.
 *
 * What methods that weigh layers (Sens-Merging, LiNeS, layer-wise AdaMerging) hand to any task-vector method: the
 * coefficient multiplies what the method leaves of the expert's task vector in that group.
 */
import { Artifact } from "@hila/core"
import * as Schema from "effect/Schema"

/** One group, by the name that `LayerGroup.of` gives its tensors: `model.layers.7`, `model.norm.weight`. */
const Row = Schema.Struct({
  group: Schema.String,
  /** Any finite numbers, in the order of the experts. */
  weights: Schema.Array(Schema.Finite),
})

/** The coefficients of `experts` experts in every group of a model. */
export const LayerWeights = Schema.Struct({
  experts: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  rows: Schema.Array(Row),
})
export type LayerWeights = typeof LayerWeights.Type

const summary = ({ experts, rows }: LayerWeights): string => {
  const all = rows.flatMap(({ weights }) => weights)
  const [least, most] = [Math.min(...all), Math.max(...all)].map((weight) => weight.toFixed(3))
  return `${rows.length} groups × ${experts} experts, coefficients ${least} to ${most}`
}

const show = (value: LayerWeights): string => {
  const width = Math.max(0, ...value.rows.map(({ group }) => group.length))
  const lines = value.rows.map(
    ({ group, weights }) =>
      `  ${group.padEnd(width)} ${weights.map((weight) => weight.toFixed(3)).join("  ")}`,
  )
  return [summary(value), ...lines].join("\n")
}

/** Layer weights as JSON. */
export const artifact: Artifact.Artifact<LayerWeights> = Artifact.json("layer-weights", LayerWeights, {
  summary,
  show,
})
