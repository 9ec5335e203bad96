/**
 * Sensitivity of layers: how much a model's loss depends on the parameters of each layer.
 *
 *     s(l) = mean over examples of Σ_j |θ_j · ∂Loss_k/∂θ_j|,  j over the parameters of layer l
 *
 * The task-specific scaling of Sens-Merging before its normalisation ("Sens-Merging: Sensitivity-Guided Parameter
 * Balancing for Merging Large Language Models", 2025): to first order, what the loss would change by if each parameter
 * were zero. It looks at one model, not at what fine-tuning changed in it. The loss is that of an example's response;
 * for whole texts, give examples whose prompt is one token.
 */
import { Artifact } from "@hila/core"
import { known } from "@hila/core/Lookup"
import type { CausalModel, Example } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ScoringError } from "./ScoringError.ts"
import * as Statistics from "./Statistics.ts"

const NonNegative = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0))

/** One layer (`model.layers.0`), or one tensor outside of all layers by its name; all numbers in nats. */
const Row = Schema.Struct({
  group: Schema.String,
  /** Mean over the examples. */
  score: NonNegative,
  standardError: NonNegative,
  values: Schema.Array(NonNegative),
})

/** Sensitivities of a model's groups of tensors, as `LayerGroup` divides them, on some examples. */
export const Sensitivities = Schema.Struct({ examples: Schema.Int, rows: Schema.Array(Row) })
export type Sensitivities = typeof Sensitivities.Type

/** Sensitivities as JSON. */
export const artifact: Artifact.Artifact<Sensitivities> = Artifact.json("sensitivities", Sensitivities, {
  summary: ({ examples, rows }) => `sensitivity of ${rows.length} groups, ${examples} examples`,
  show: ({ rows }) =>
    rows
      .map(
        ({ group, score, standardError }) =>
          `  ${group.padEnd(32)} ${score.toExponential(3)} ± ${standardError.toExponential(1)}`,
      )
      .join("\n"),
})

/** Sensitivities from their values, [examples][groups]; fails where there is no example. */
export const summarise = Effect.fnUntraced(function* (
  groups: ReadonlyArray<string>,
  values: ReadonlyArray<ArrayLike<number>>,
): Effect.fn.Return<Sensitivities, ScoringError> {
  if (values.length === 0) {
    return yield* new ScoringError({
      subject: "sensitivity",
      problem: "no examples were given; give one or more",
    })
  }
  const rows = groups.map((group, at) => {
    const own = values.map((example) => known(example[at]))
    return { group, score: Statistics.mean(own), standardError: Statistics.standardError(own), values: own }
  })
  return { examples: values.length, rows }
})

/** The sensitivities of a model on some examples, ≥ 0, in nats; a pass forward and back per example. */
export const measure = Effect.fn("Sensitivity.measure")(function* (
  model: CausalModel.CausalModel,
  examples: ReadonlyArray<Example.Example>,
) {
  const { groups, values } = yield* model.sensitivity(examples)
  return yield* summarise(groups, values)
})
