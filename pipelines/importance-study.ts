/**
 * Importance study: do the methods agree on which units of an expert matter, and how much golden data does it take?
 *
 * For every expert of the micro family: all methods on one golden set, the ones that use data again on a second set of
 * other questions, and the ranks compared. `docs/importance-study.md` holds the tables of a run and how to read them.
 */
import { Pipeline } from "@hila/core"
import { Stages as Evaluation } from "@hila/eval"
import { Checkpoint, LanguageModel } from "@hila/model"
import { Importance, Stages as Scoring } from "@hila/scoring"
import * as Schema from "effect/Schema"
import { study } from "./stages/Study.ts"

const domains = ["math", "code", "lang"] as const
const withData = Importance.methods.filter(
  (method) => method !== "magnitude" && method !== "random" && method !== "layer",
)
const Count = Schema.Int.check(Schema.isGreaterThan(1))

export default Pipeline.make({
  name: "importance-study",
  options: {
    golden: Pipeline.option(Count, 128, "golden questions per expert and set"),
    seed: Pipeline.option(Schema.Int, 0, "seed of the first set's questions; the second has the next"),
  },
  build: ({ golden: take, seed }) => {
    const model = (name: string) => Checkpoint.source(new URL(`../fixtures/micro/${name}`, import.meta.url))
    const base = model("base")
    const sizes = [16, 32, 64, 128].filter((size) => size <= take)
    return Object.fromEntries(
      domains.map((domain) => {
        const expert = model(domain)
        const scores = (of: number, methods: ReadonlyArray<Importance.Method>) => {
          const label = `${domain} seed ${of}`
          const asked = { domain, side: "train", seed: of, skip: 0, take } as const
          const questions = Evaluation.questions({}, asked, label)
          const golden = Scoring.golden(
            { teacher: expert, questions },
            { maxTokens: 32, stop: ["\n"] },
            label,
          )
          return methods.map((method) =>
            Scoring.importance({ base, expert, golden }, { scheme: "kvGroup", method }, `${label} ${method}`),
          )
        }
        const found = { scores: scores(seed, Importance.methods), again: scores(seed + 1, withData) }
        return [domain, study(found, { sizes }, domain)]
      }),
    )
  },
  layer: LanguageModel.layer,
})
