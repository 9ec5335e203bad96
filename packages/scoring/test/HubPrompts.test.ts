import { assert, describe, it } from "@effect/vitest"
import { Plan, Run, Store } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Prompts from "../src/Prompts.ts"
import * as Stages from "../src/stages.ts"
import { commits, hubOf } from "./hub.ts"

const jsonl = (...questions: ReadonlyArray<string>) =>
  questions.map((question) => `${JSON.stringify({ question })}\n`).join("")

const files = {
  main: { "train.jsonl": jsonl("1+1", "2+2", "3+3") },
  v1: { "train.jsonl": jsonl("1+1", "2+2"), "copy.jsonl": jsonl("1+1", "2+2") },
}

const node = (text: string, prompt = "question") =>
  Stages.prompts(
    { file: Prompts.source(text) },
    { name: text.replace(/^.*\//, ""), domain: "math", prompt },
    "math",
  )

describe("prompts of a data set on the Hub", () => {
  it.effect("are read at a revision, which the key knows by its content", () =>
    Effect.gen(function* () {
      const { log, use } = yield* hubOf(files)
      const run = Effect.fnUntraced(function* (at: string) {
        const { prompts } = yield* Run.outputs({ prompts: node(`hf://datasets/me/sums${at}/train.jsonl`) })
        return prompts.map(({ prompt }) => prompt)
      })
      const stepOf = Effect.fnUntraced(function* (at: string) {
        const [step] = yield* Plan.make({ prompts: node(`hf://datasets/me/sums${at}/train.jsonl`) })
        return step?._tag
      })
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* run("@v1"), ["1+1", "2+2"])
        const asked = log.length
        assert.strictEqual(yield* stepOf(`@${commits.v1}`), "Hit")
        assert.strictEqual(log.length, asked, "a pinned commit that is cached needs no Hub")
        assert.strictEqual(yield* stepOf(""), "Run")
        assert.deepStrictEqual(yield* run(""), ["1+1", "2+2", "3+3"])
        assert.strictEqual(yield* stepOf("@v1"), "Hit")
      }).pipe(use, Effect.provide(Store.layerMemory))
    }),
  )

  it.effect("that are not there are one line, as is a column", () =>
    Effect.gen(function* () {
      const { use } = yield* hubOf(files)
      const failure = (text: string, prompt?: string) =>
        Effect.map(
          Effect.flip(
            Run.outputs({ prompts: node(text, prompt) }).pipe(use, Effect.provide(Store.layerMemory)),
          ),
          ({ message }) => message,
        )
      assert.strictEqual(
        yield* failure("hf://datasets/me/gone/train.jsonl"),
        "source datasets/me/gone@main: there is no such repository, revision or file (404); check its name",
      )
      assert.strictEqual(
        yield* failure("hf://datasets/me/sums@v1/test.jsonl"),
        "source datasets/me/sums@v1/test.jsonl: there is no such file; there are train.jsonl, copy.jsonl",
      )
      assert.strictEqual(
        yield* failure("hf://datasets/me/sums/train.jsonl", "problem"),
        'prompts: train.jsonl: line 1 has no text in "problem"; it has question',
      )
    }),
  )
})
