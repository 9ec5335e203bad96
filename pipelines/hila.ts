/**
 * HILA: golden data → importance of heads and MLPs → pruning → adaptive fusion → report.
 *
 * Three specialists (math, code, number words in four languages) are merged into one model and compared with the
 * base, each specialist, the uniform average and a task arithmetic tuned on the same data. The thesis it follows,
 * "HILA-Merging: Head-Level Loss-Aware for Fine-Grained Pruning and Adaptive Model Merging" (Chih 2026), is public as
 * an abstract only; formulas beyond it are this project's reconstruction.
 */
import { Pipeline } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Stages as Evaluation } from "@hila/eval"
import { Stages as Merging } from "@hila/merge"
import { Checkpoint, Runtime } from "@hila/model"
import { Stages as Scoring } from "@hila/scoring"
import * as Schema from "effect/Schema"
import { unitCoefficients } from "./stages/Coefficients.ts"
import { shrunk } from "./stages/Shrunk.ts"
import { tuned } from "./stages/Tuned.ts"

const domains = ["math", "code", "lang"] as const
type Domain = (typeof domains)[number]

const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
const Positive = Schema.Finite.check(Schema.isGreaterThan(0))
const Count = Schema.Int.check(Schema.isGreaterThan(0))

/** An answer of the micro family ends with its line. */
const answers = { maxTokens: 32, stop: ["\n"] }

export default Pipeline.make({
  name: "hila",
  options: {
    density: Pipeline.option(Share, 0.5, "share of each task vector that pruning keeps"),
    temperature: Pipeline.option(
      Positive,
      8,
      "temperature of the softmax that weighs the experts in each unit",
    ),
    golden: Pipeline.option(Count, 64, "golden questions per domain and set"),
    questions: Pipeline.option(Count, 200, "held-out questions per domain, or all there are"),
    budget: Pipeline.option(Count, 24, "values of λ that each method is tried with"),
    seed: Pipeline.option(Schema.Int, 0, "seed of all questions"),
  },
  build: (options) => {
    // The family: one base, one specialist per domain.
    const model = (name: string) => Checkpoint.source(new URL(`../fixtures/micro/${name}`, import.meta.url))
    const base = model("base")
    const specialists = domains.map((domain) => ({ domain, expert: model(domain) }))
    const experts = specialists.map(({ expert }) => expert)

    // Golden data: each specialist's own answers to questions of its domain, as three sets with no prompt in common.
    const sets = ["score", "tune", "report"] as const
    const golden = (set: (typeof sets)[number]) =>
      specialists.map(({ domain, expert }) => {
        const label = `${domain} ${set}`
        const asked = { domain, side: "train", seed: options.seed, take: options.golden } as const
        const skip = sets.indexOf(set) * options.golden
        const questions = Evaluation.questions({}, { ...asked, skip }, label)
        return Scoring.golden({ teacher: expert, questions }, answers, label)
      })
    const [score, tune, held] = [golden("score"), golden("tune"), golden("report")]

    // Importance: what each head group and MLP of the specialist's change is worth to its own answers.
    // It is shrunk by its error, since few answers tell little about most units.
    // Pruning: units keep a density that follows importance gently (settings that did best on tune sets, docs/results.md).
    const prune = { density: options.density, gamma: 0.5, dropFraction: 0 }
    const scored = specialists.map(({ domain, expert }, index) => {
      const of = { base, expert, golden: at(score, index) }
      const measured = Scoring.importance(of, { scheme: "kvGroup", method: "revert" }, domain)
      const importance = shrunk({ importance: measured }, {}, domain)
      const mask = Merging.prune({ base, expert, importance }, prune, domain)
      const pruned = Merging.merge(
        { base: [base], models: [expert], masks: [mask], layerWeights: [], unitWeights: [], statistics: [] },
        { method: "task_arithmetic", dtype: "float32" },
        `${domain} pruned`,
      )
      return { importance, pruned }
    })

    // Adaptive fusion: in each unit the specialists are weighed by how much it matters to them.
    const importance = scored.map((entry) => entry.importance)
    const weights = Merging.adaptiveWeights({ importance }, { temperature: options.temperature }, "hila")
    const table = unitCoefficients({ base, weights }, { residual: "mean" }, "hila")

    // λ of HILA and of its rival, task arithmetic, on the same data with as many trials; no trial writes a checkpoint.
    const bench = { base, experts, golden: tune, objective: "loss", budget: options.budget } as const
    const pruned = scored.map((entry) => entry.pruned)
    const hila = tuned(bench, "hila", [{ name: "", directions: pruned, table }])
    const arithmetic = tuned(bench, "task arithmetic", [{ name: "", directions: experts }])
    const average = Merging.linear({ models: experts }, {}, "average")

    // Report: questions no model has seen, and golden answers that nothing was chosen on.
    const heldOut = domains.map((domain: Domain) =>
      Evaluation.questions(
        {},
        { domain, side: "heldOut", seed: options.seed, skip: 0, take: options.questions },
        `${domain} held out`,
      ),
    )
    const models = {
      base,
      ...Object.fromEntries(specialists.map(({ domain, expert }) => [domain, expert])),
      average,
      "task arithmetic": arithmetic.model,
      HILA: hila.model,
    }
    const names = Object.keys(models)
    const report = Evaluation.compare(
      {
        accuracy: Object.entries(models).map(([name, model]) =>
          Evaluation.accuracy({ model, questions: heldOut }, answers, name),
        ),
        loss: Object.entries(models).map(([name, model]) =>
          Evaluation.goldenLoss({ model, golden: held }, { domains: [...domains] }, name),
        ),
      },
      { models: names, base: "base" },
      "all models",
    )
    // In the order in which they are printed: what was asked for is the last thing on the screen.
    return { merged: hila.model, arithmetic: arithmetic.tuning, tuning: hila.tuning, report }
  },
  layer: Runtime.layer,
})
