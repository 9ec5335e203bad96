import { assert, describe, it } from "@effect/vitest"
import { Artifact } from "@hila/core"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { Example, Question, UnitTable } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"

const roundTrip = Effect.fnUntraced(function* <A>(artifact: Artifact.Artifact<A>, value: A) {
  const path = join(yield* temporary, "value")
  yield* artifact.encode(value, path)
  return yield* artifact.decode({ _tag: "File", path, size: 0, digest: "" })
})

const row: UnitTable.Row = {
  unit: "layers.0.mlp",
  kind: "mlp",
  layer: 0,
  index: 0,
  size: 8,
  score: -0.25,
  standardError: 0.5,
  relative: 1,
}

describe("record artifacts", () => {
  it.effect("examples, questions and unit tables come back as they were written", () =>
    Effect.gen(function* () {
      const examples: ReadonlyArray<Example.Example> = [
        { prompt: "2+2=", response: "4\n", tokens: [1, 5, 6, 7], promptLength: 2 },
      ]
      assert.deepStrictEqual(yield* roundTrip(Example.artifact, examples), examples)
      assert.strictEqual(Example.artifact.summary(examples), "1 examples, 2 response tokens")
      const questions: ReadonlyArray<Question.Question> = [
        { domain: "lang", prompt: "fr 3", answer: "trois" },
      ]
      assert.deepStrictEqual(yield* roundTrip(Question.artifact, questions), questions)
      assert.strictEqual(Question.artifact.summary(questions), "1 questions of lang")
      const table: UnitTable.UnitTable = {
        scheme: "kvGroup",
        method: "revert",
        rows: [row, { ...row, unit: "layers.1.mlp", layer: 1, relative: 2 }],
      }
      assert.deepStrictEqual(yield* roundTrip(UnitTable.artifact, table), table)
      assert.strictEqual(UnitTable.artifact.summary(table), "2 units by revert, most important layers.1.mlp")
      assert.match(
        UnitTable.artifact.show(table),
        /\n {2}layers\.1\.mlp .*\n {2}layers\.0\.mlp {15}-2\.500e-1 ± 5\.0e-1 {2}1\.000$/,
      )
    }),
  )

  it.effect("a unit table holds no NaN and no negative relative importance", () =>
    Effect.gen(function* () {
      for (const bad of [{ score: Number.NaN }, { relative: -1 }, { standardError: -1 }, { size: 0.5 }]) {
        const table = { scheme: "kvGroup", method: "revert", rows: [{ ...row, ...bad }] } as const
        assert.strictEqual((yield* Effect.flip(roundTrip(UnitTable.artifact, table)))._tag, "ArtifactError")
      }
    }),
  )
})
