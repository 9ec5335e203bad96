import { Artifact, Pipeline, Source, Stage } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"

const One = Artifact.json("one", Schema.Finite)
const sum = Stage.make({
  name: "sum",
  version: 1,
  inputs: { first: One, rest: Stage.each(One) },
  output: One,
  run: ({ first, rest }) => Effect.succeed(rest.reduce((a, b) => a + b, first)),
})
const one = Source.value(One, 1)

/** What a pipeline file says that nobody compiled. */
const uncompiled = (inputs: unknown) =>
  Effect.flip(
    Pipeline.build(
      Pipeline.make({
        name: "wrong",
        build: () => ({ out: (sum as unknown as (given: unknown) => typeof one)(inputs) }),
        layer: Layer.empty,
      }),
    ),
  )

describe("Inputs of a stage", () => {
  it.effect("are nodes: anything else fails the building with stage, slot and what is there", () =>
    Effect.gen(function* () {
      const mistakes: ReadonlyArray<readonly [unknown, RegExp]> = [
        [{ first: one }, /^stage sum: input "rest" is missing$/],
        [{ frist: one, rest: [] }, /input "first" is missing; the call has frist, which it does not take$/],
        [
          { first: "models/base", rest: [] },
          /input "first": expected a node, .* got the text "models\/base"$/,
        ],
        [{ first: [one], rest: [] }, /input "first": expected a node, .* got a list$/],
        [{ first: one, rest: one }, /input "rest": expected a list of nodes, .* got a value of type object$/],
        [{ first: one, rest: [one, sum] }, /input "rest\[1\]": expected a node, .* got a function$/],
      ]
      for (const [inputs, message] of mistakes) {
        const error = yield* uncompiled(inputs)
        assert.match(error.message, message)
        assert.strictEqual(error.blame, "input")
      }
    }),
  )
})
