import { assert, describe, it } from "@effect/vitest"
import { Artifact, Run, Source, Stage, Store } from "@hila/core"
import { Answer, Question } from "@hila/model"
import { Effect } from "effect"
import * as Sandbox from "../src/code/Sandbox.ts"
import * as UnitTests from "../src/code/UnitTests.ts"
import * as Stages from "../src/stages.ts"

/** Why the sandbox cannot be had here; "" where it can. */
const impossible = await Effect.runPromise(
  Effect.match(Sandbox.make, { onFailure: ({ message }) => message, onSuccess: () => "" }),
)

const answer = (response: string): Artifact.Value<typeof Answer.artifact>[number] => ({
  prompt: "",
  response,
  tokens: [1, 2],
  promptLength: 1,
  end: "stop",
})

const question = (prompt: string, tests: string): Question.Question => ({
  domain: "code",
  prompt,
  answer: tests,
})

// A busy machine takes long to start an interpreter.
const seconds = 60

describe.skipIf(impossible !== "")(`unitTests${impossible === "" ? "" : ` (${impossible})`}`, () => {
  it.live("accept what passes its own tests, in Python, by what is the program of an answer", () =>
    Effect.gen(function* () {
      const head = "def f(x):\n"
      const questions = ["assert f(1) == 2", "assert f(1) == 2", "assert f(2) == 4", "assert f(1) == 2"].map(
        (tests) => question(head, tests),
      )
      const continued = ["  return x + 1\ndef", "  return x - 1\ndef", "  return 2 * x", "  return ("]
      const options = { language: "python", seconds, allowCode: true } as const
      assert.deepStrictEqual(
        yield* Stages.unitTests.run(
          { answers: continued.map(answer), questions },
          { ...options, shape: "continuation", stop: ["\ndef", "\n"] },
        ),
        [true, false, true, false],
      )
    }).pipe(Effect.provide(Stage.layerDetached)),
  )

  it.live("accept JavaScript in fences, through a store, where they are kept", () =>
    Effect.gen(function* () {
      const tests = "if (f(2) !== 4) throw new Error('wrong')"
      const blocks = ["Sure:\n```js\nconst f = (x) => 2 * x\n```\nDone.", "```js\nconst f = (x) => x\n```"]
      const answers = Source.value(Answer.artifact, blocks.map(answer))
      const questions = Source.value(Question.artifact, [
        question("Double.", tests),
        question("Twice.", tests),
      ])
      const verdicts = Stages.unitTests(
        { answers, questions },
        { language: "javascript", shape: "block", seconds, allowCode: true },
      )
      const found = yield* Effect.provide(Run.outputs({ verdicts }), Store.layerMemory)
      assert.deepStrictEqual(found.verdicts, [true, false])
      assert.strictEqual(Answer.verdicts.summary(found.verdicts), "1 of 2 accepted")
    }),
  )
})

describe("unitTests", () => {
  it.effect.each([
    [
      "they are not allowed",
      [question("p", "pass")],
      false,
      "unit tests: they run programs a model wrote; allow it (allowCode), and they run in a sandbox",
    ],
    [
      "a question has no tests",
      [question("p", " ")],
      true,
      "unit tests: question 1 comes without tests; name the column that has them as the answer of the prompts",
    ],
    [
      "questions are others",
      [],
      true,
      "unit tests: 1 answers to 0 questions; give the questions that were asked",
    ],
  ] as const)("are refused in one line where %s", ([, questions, allowCode, says]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Stages.unitTests.run({ answers: [answer("x")], questions }, { language: "python", allowCode }),
      )
      assert.deepStrictEqual([error.message, error.blame], [says, "input"])
    }).pipe(Effect.provide(Stage.layerDetached)),
  )
})

describe("UnitTests.programOf", () => {
  it("takes a block that the answer leaves open, and all of an answer without one", () => {
    const of = (response: string) => UnitTests.programOf({ prompt: "p", response }, { shape: "block" })
    assert.strictEqual(of("Here\n```python\nx = 1\n"), "x = 1\n")
    assert.strictEqual(of("x = 1"), "x = 1")
    assert.strictEqual(UnitTests.programOf({ prompt: "p", response: "x\n\n" }, { stop: ["\n", "\n\n"] }), "x")
  })
})
