/**
 * Importance study: do the methods agree on which units of an expert matter, and how much golden data does it take?
 *
 * For every expert of a family: all methods on one golden set, the ones that use data again on a second set of other
 * prompts, and revert against the path on what the expert was not trained on. `docs/importance-study.md` holds the tables
 * of a run for each family and how to read them.
 */
import { Pipeline } from "@hila/core"
import { Runtime } from "@hila/model"
import { Importance, Stages as Scoring } from "@hila/scoring"
import * as Schema from "effect/Schema"
import { study } from "./stages/Study.ts"
import * as StudySets from "./stages/StudySets.ts"

const withoutData: ReadonlySet<Importance.Method> = new Set(["magnitude", "random", "layer"])
const Count = Schema.Int.check(Schema.isGreaterThan(1))

/** Points of the path: as many as everywhere else, and enough that more would change nothing. */
const quadratures = [8, 32] as const

export default Pipeline.make({
  name: "importance-study",
  options: {
    family: Pipeline.option(
      Schema.String,
      "",
      "directory of a family; the one that comes with Hila unless given",
    ),
    golden: Pipeline.option(Count, 128, "golden prompts per expert and draw"),
    scheme: Pipeline.option(
      Schema.Literals(["kvGroup", "queryHead", "layer"]),
      "kvGroup",
      "how models are divided into units",
    ),
    methods: Pipeline.option(
      Schema.Array(Schema.Literals(Importance.methods)),
      Importance.methods,
      'the methods that are compared, methods=["revert","fisher"]',
    ),
    seed: Pipeline.option(Schema.Int, 0, "seed of prompts and answers"),
  },
  build: ({ family, golden: take, methods, scheme, seed }) => {
    const { base, specialists } = StudySets.of(family, { take, seed })
    const sizes = [...[16, 32, 64, 128].filter((size) => size < take), take]
    return Object.fromEntries(
      specialists.map(({ domain, draws, expert, heldOut }) => {
        const scores = (golden: (typeof draws)[number], method: Importance.Method, quadrature?: number) => {
          const label = `${golden.label} ${method}${quadrature === undefined ? "" : ` Q ${quadrature}`}`
          const points = quadrature === undefined ? {} : { quadrature }
          return Scoring.importance({ base, expert, golden }, { scheme, method, ...points }, label)
        }
        const found = {
          first: methods.map((method) => scores(draws[0], method)),
          second: methods.flatMap((method) => (withoutData.has(method) ? [] : [scores(draws[1], method)])),
          direct: (["revert", "symmetric"] as const).map((method) => scores(heldOut, method)),
          path: quadratures.map((points) => scores(heldOut, "pathIntegrated", points)),
        }
        return [domain, study(found, { sizes, quadratures }, domain)]
      }),
    )
  },
  layer: Runtime.layer,
})
