/**
 * Golden loss: how well a model predicts the experts' own answers.
 *
 * Mean negative log-likelihood over each response, in nats per token, for every example of one or more golden sets.
 * Continuous and cheap, with far less variance than accuracy on small models. Never measure it on the examples that
 * scores or coefficients were chosen on.
 */
import { Artifact } from "@hila/core"
import { type CausalModel, type Example, Statistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { EvalError } from "./EvalError.ts"

/** A model's losses on the golden set of one domain. */
export const DomainLoss = Schema.Struct({
  domain: Schema.String,
  /** Examples in the set. */
  n: Schema.Int,
  /** Mean loss, nats per token. */
  mean: Schema.Finite,
  /** Standard error of the mean, over examples. */
  standardError: Schema.Finite,
  /** One loss per example, in the order of the set. */
  losses: Schema.Array(Schema.Finite),
})
export type DomainLoss = typeof DomainLoss.Type

/** A model's losses, domain by domain. */
export const GoldenLoss = Schema.Struct({ domains: Schema.Array(DomainLoss) })
export type GoldenLoss = typeof GoldenLoss.Type

/** One line: `math 0.052 ± 0.004, code 0.013 ± 0.002`. */
export const summary = ({ domains }: GoldenLoss): string =>
  domains
    .map(({ domain, mean, standardError }) => `${domain} ${mean.toFixed(3)} ± ${standardError.toFixed(3)}`)
    .join(", ")

/** Golden losses in the store, with every example's. */
export const artifact: Artifact.Artifact<GoldenLoss> = Artifact.json("golden-loss", GoldenLoss, { summary })

/** Sums up the per-example losses of one golden set. */
export const ofLosses = (domain: string, losses: ReadonlyArray<number>): DomainLoss => ({
  domain,
  n: losses.length,
  mean: Statistics.mean(losses),
  standardError: Statistics.standardError(losses),
  losses,
})

/** A model's losses on one golden set; an empty set is an error. */
export const measure = Effect.fn("GoldenLoss.measure")(function* (
  model: CausalModel.CausalModel,
  domain: string,
  golden: ReadonlyArray<Example.Example>,
) {
  if (golden.length === 0) {
    return yield* new EvalError({
      subject: `golden loss of ${domain}`,
      problem: "the golden set is empty; give at least one example",
    })
  }
  return ofLosses(domain, Array.from(yield* model.losses(golden)))
})

/**
 * Retention R = (Loss(base) - Loss(model)) / (Loss(base) - Loss(expert)) on an expert's golden set: 1 at the expert's
 * level, 0 at the base's, below 0 where the model is worse than the base. Null where the expert gains nothing over
 * the base, so that there is nothing to retain.
 */
export const retention = (losses: {
  readonly base: number
  readonly expert: number
  readonly model: number
}): number | null => {
  const gain = losses.base - losses.expert
  return gain > 0 ? (losses.base - losses.model) / gain : null
}
