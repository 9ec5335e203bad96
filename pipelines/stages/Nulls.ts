/**
 * Golden data that should not help, to compare golden data with: other examples' answers, random tokens, other domains.
 */
import { Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Example } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Draw from "./Draw.ts"
import type { Golden } from "./Tuned.ts"

const relabel = Stage.make({
  name: "relabel",
  version: 1,
  inputs: { golden: Example.artifact },
  params: { by: Schema.Literals(["permutation", "randomTokens"]), seed: Schema.Int },
  output: Example.artifact,
  run: ({ golden }, { by, seed }) => {
    const others = Draw.shuffled(golden, seed, "answers")
    // Tokens that some answer or prompt of the set has, each as likely.
    const vocabulary = [...new Set(golden.flatMap(({ tokens }) => tokens))].toSorted((a, b) => a - b)
    const any = (key: string) => at(vocabulary, Math.floor(Draw.uniform(seed, key) * vocabulary.length))
    return Effect.succeed(
      golden.map((example, i) => {
        const { promptLength, tokens } = example
        const from = others[i] ?? example
        const response =
          by === "permutation"
            ? from.tokens.slice(from.promptLength)
            : tokens.slice(promptLength).map((_, j) => any(`${i} ${j}`))
        return {
          ...example,
          response: by === "permutation" ? from.response : "",
          tokens: [...tokens.slice(0, promptLength), ...response],
        }
      }),
    )
  },
})

/** Each prompt with the answer to another: the label-permuted null. */
export const permuted = (golden: ReadonlyArray<Golden>, seed = 0): ReadonlyArray<Golden> =>
  golden.map((own, i) => relabel({ golden: own }, { by: "permutation", seed }, `${i} permuted`))

/** Each prompt with as many tokens of the set's own, drawn at random. */
export const randomTokens = (golden: ReadonlyArray<Golden>, seed = 0): ReadonlyArray<Golden> =>
  golden.map((own, i) => relabel({ golden: own }, { by: "randomTokens", seed }, `${i} random tokens`))

/** Each specialist with the golden data of the next. */
export const otherDomains = (golden: ReadonlyArray<Golden>): ReadonlyArray<Golden> => [
  ...golden.slice(1),
  ...golden.slice(0, 1),
]
