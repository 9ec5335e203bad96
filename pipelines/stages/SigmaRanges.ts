/**
 * How far from uniform coefficients are: the least and greatest share of an expert in any layer, table by table.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Coefficients from "./Coefficients.ts"

const Ranges = Artifact.json("sigma-ranges", Schema.String, {
  summary: (text) => `${text.split("\n").length - 2} tables`,
  show: (text) => text,
})

/** A line per table: least and greatest σ, and the σ of every expert averaged over the layers. */
export const sigmaRanges = Stage.make({
  name: "sigma-ranges",
  version: 1,
  inputs: { tables: Stage.each(Coefficients.artifact) },
  params: { names: Schema.Array(Schema.String) },
  output: Ranges,
  run: ({ tables }, { names }) => {
    const lines = tables.map(({ rows }, i) => {
      const experts = at(rows, 0).weights.length
      const sigmas = rows.map(({ weights }) => weights.map((weight) => weight / experts))
      const means = Array.from({ length: experts }, (_, k) =>
        (sigmas.reduce((total, row) => total + at(row, k), 0) / sigmas.length).toFixed(3),
      )
      const all = sigmas.flat()
      return `| ${at(names, i)} | ${Math.min(...all).toFixed(3)} | ${Math.max(...all).toFixed(3)} | ${means.join(" / ")} |`
    })
    return Effect.succeed(
      ["| | least σ | greatest σ | mean σ by expert |", "| --- | --: | --: | --: |", ...lines].join("\n"),
    )
  },
})
