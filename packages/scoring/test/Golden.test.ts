import { assert, describe, it } from "@effect/vitest"
import { Stage } from "@hila/core"
import { CausalModel, Checkpoint, type Example, type Generation, type Question, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { cpSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Golden from "../src/Golden.ts"
import * as Stages from "../src/stages.ts"
import * as Verifier from "../src/Verifier.ts"
import { checkpointPath } from "./fixtures.ts"

const generation = (response: string, end: Generation["end"]): Generation => ({
  prompt: "Q: 1+1\nA:",
  response,
  tokens: [1, 51, 28, ...Array.from(response, (character) => character.charCodeAt(0))],
  promptLength: 3,
  end,
})

describe("Golden.select", () => {
  it.effect("keeps answers that ended by either end, with the end in the response", () =>
    Effect.gen(function* () {
      const golden = yield* Golden.select([generation(" 2\n", "stop"), generation(" 2", "eos")], {})
      assert.deepStrictEqual(
        golden.map((example) => example.response),
        [" 2\n", " 2"],
      )
      assert.deepStrictEqual(Object.keys(golden[0] ?? {}).toSorted(), [
        "prompt",
        "promptLength",
        "response",
        "tokens",
      ])
    }),
  )

  it.effect("drops and counts unended answers, duplicates and what is not wanted any more", () =>
    Effect.gen(function* () {
      const golden = yield* Golden.select(
        [
          generation(" 2\n", "stop"),
          generation(" 2222222", "length"),
          generation(" 2\n", "stop"),
          generation(" 3\n", "stop"),
          generation(" 4\n", "stop"),
        ],
        { keep: 2 },
      )
      assert.deepStrictEqual(golden.report, {
        asked: 5,
        kept: 2,
        unended: 1,
        rejected: 0,
        duplicates: 1,
        surplus: 1,
        responseTokens: 6,
      })
      assert.strictEqual(
        Golden.artifact.summary(golden),
        "2 of 5 answers kept (1 unended, 1 duplicate, 1 surplus), 6 response tokens",
      )
    }),
  )

  it.effect("keeps cut answers where no end is asked for, and drops what a verifier rejects", () =>
    Effect.gen(function* () {
      const answers = [generation(" 2\n", "stop"), generation(" 22", "length"), generation(" 3\n", "stop")]
      const questions = answers.map(({ prompt }) => ({ domain: "math", prompt, answer: "2" }))
      const cut = yield* Golden.select(answers, { requireEnd: false })
      assert.strictEqual(cut.length, 3)
      const right = yield* Golden.choose(questions, answers, {}, { verify: Verifier.of({ by: "answer" }) })
      assert.strictEqual(
        Golden.artifact.summary(right),
        "1 of 3 answers kept (1 unended, 1 rejected), 3 response tokens",
      )
      const none = yield* Effect.flip(
        Golden.choose(questions.slice(2), answers.slice(2), {}, { verdicts: [[false]] }),
      )
      assert.strictEqual(
        none.message,
        "golden data: none of 1 answers can be kept (1 were rejected by the verifier); check the verifier",
      )
    }),
  )

  it.effect("says in one line why nothing is left", () =>
    Effect.gen(function* () {
      const none = yield* Effect.flip(Golden.select([], {}))
      assert.strictEqual(none.message, "golden data: no questions were given; give at least one")
      const unended = yield* Effect.flip(Golden.select([generation(" 22", "length")], {}))
      assert.strictEqual(
        unended.message,
        "golden data: none of 1 answers can be kept (1 did not end within 3 tokens); " +
          "raise maxTokens or check the stop string",
      )
      assert.strictEqual(unended.blame, "input")
    }),
  )
})

describe("Golden.artifact", () => {
  it.effect("reads back the examples and the report it wrote", () =>
    Effect.gen(function* () {
      const golden = yield* Golden.select([generation(" 2\n", "stop"), generation(" 2", "length")], {})
      const path = join(yield* Stage.scratch, "golden.json")
      yield* Golden.artifact.encode(golden, path)
      const content = { _tag: "File", path, size: statSync(path).size, digest: "" } as const
      const read = yield* Golden.artifact.decode(content)
      assert.deepStrictEqual([...read], [...golden])
      assert.deepStrictEqual(read.report, golden.report)
    }).pipe(Effect.provide(Stage.layerDetached)),
  )
})

describe("golden", () => {
  const question = (text: string): Question.Question => ({
    domain: "math",
    prompt: `Q: ${text}\nA:`,
    answer: "",
  })

  it.effect("asks the expert itself and keeps the newline that ends its answers in the loss", () =>
    Effect.gen(function* () {
      const teacher = yield* Checkpoint.open(checkpointPath("math"))
      const questions = [...Array.from({ length: 20 }, (_, n) => question(`${n + 30}+45`)), question("30+45")]
      const golden = yield* Stages.golden.run({ teacher, questions }, { maxTokens: 12, stop: ["\n"] })
      assert.strictEqual(golden.report.asked, 21)
      assert.strictEqual(golden.report.duplicates, 1)
      assert.strictEqual(golden.length, golden.report.kept)
      assert.isTrue(golden.every((example) => example.response.endsWith("\n")))
      assert.isTrue(golden.every((example) => example.tokens.length > example.promptLength))
      assert.include(golden[0]?.response, "75")
      const plain = yield* CausalModel.open(teacher).pipe(
        Effect.flatMap((model) => Golden.generate(model, questions, { maxTokens: 12, stop: ["\n"] })),
      )
      assert.deepStrictEqual([...plain], [...golden])

      // The same in two halves, with verdicts from elsewhere between them.
      const answers = yield* Stages.answers.run({ teacher, questions }, { maxTokens: 12, stop: ["\n"] })
      assert.strictEqual(answers.length, 21)
      const halves = yield* Stages.selected.run({ answers, questions, verdicts: [] }, {})
      assert.deepStrictEqual([[...halves], halves.report], [[...golden], golden.report])
      const verdicts = [questions.map((_, i) => i !== 0), questions.map((_, i) => i !== 1)]
      const judged = yield* Stages.selected.run(
        { answers, questions, verdicts },
        { keep: 3, verify: { by: "regex", pattern: "\\d" } },
      )
      assert.strictEqual(judged.report.kept, 3)
      assert.isAtLeast(judged.report.rejected, 2)
      assert.deepStrictEqual(judged[0], golden[2])
      const short = yield* Effect.flip(Stages.selected.run({ answers, questions, verdicts: [[true]] }, {}))
      assert.match(
        short.message,
        /^golden data: expected 21 questions and verdicts, as many as answers, got 21, 1; give those/,
      )
    }).pipe(Effect.provide(Runtime.layer), Effect.provide(Stage.layerDetached)),
  )

  it.effect(
    "puts prompts into the expert's chat template, and draws by seed where a temperature is given",
    () =>
      Effect.gen(function* () {
        const directory = join(yield* Stage.scratch, "chat")
        cpSync(checkpointPath("math"), directory, { recursive: true })
        const template = "{{ bos_token }}Q: {{ messages[0].content }}\nA:"
        writeFileSync(join(directory, "chat_template.jinja"), template)
        const [teacher, plain] = [
          yield* Checkpoint.open(directory),
          yield* Checkpoint.open(checkpointPath("math")),
        ]
        const options = { maxTokens: 12, stop: ["\n"] }
        const sums = ["30+45", "31+45", "32+45"]
        const messages = sums.map((prompt) => ({ domain: "math", prompt, answer: "" }))
        const chat = yield* Stages.golden.run({ teacher, questions: messages }, { ...options, chat: true })
        const raw = yield* Stages.golden.run({ teacher: plain, questions: sums.map(question) }, options)
        assert.strictEqual(chat[0]?.prompt, "<s>Q: 30+45\nA:")
        // The same tokens by either way, and so the same mask of the loss.
        const masked = ({ promptLength, response, tokens }: Example.Example) => [
          tokens,
          promptLength,
          response,
        ]
        assert.deepStrictEqual(chat.map(masked), raw.map(masked))

        const draw = (seed: number) =>
          Stages.golden.run(
            { teacher: plain, questions: sums.map(question) },
            { maxTokens: 4, requireEnd: false, temperature: 3, seed },
          )
        const [first, again, other] = [yield* draw(1), yield* draw(1), yield* draw(2)]
        assert.deepStrictEqual([...first], [...again])
        assert.notDeepEqual([...first], [...other])
      }).pipe(Effect.provide(Runtime.layer), Effect.provide(Stage.layerDetached)),
  )
})
