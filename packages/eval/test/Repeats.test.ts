/** Several texts for each document: how they are asked for, drawn and scored. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Sandbox from "../src/code/Sandbox.ts"
import * as Evaluation from "../src/Evaluation.ts"
import * as Answering from "../src/requests/Answering.ts"
import * as Items from "../src/requests/Items.ts"
import * as Journal from "../src/requests/Journal.ts"
import * as Results from "../src/results/Results.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Task from "../src/tasks/Task.ts"
import { bench, respondent, taskOf } from "./support.ts"

const generating = (lines: string): string => `task: small
dataset_path: json
dataset_kwargs:
  data_files:
    test: rows.jsonl
test_split: test
doc_to_text: "{{q}}"
doc_to_target: "{{a}}"
${lines}
`
const task = Effect.fnUntraced(function* (lines: string) {
  const place = yield* bench
  return yield* taskOf(place.write("small.yaml", generating(lines)))
})

layer(Runtime.layer)("repeats", (it) => {
  it.effect("draw each text by its own seed, the same in another run and any company", () =>
    Effect.gen(function* () {
      const own = yield* task(`repeats: 6
generation_kwargs: { until: ["\\n"], max_gen_toks: 8, do_sample: true, temperature: 3.0, top_p: 0.9 }`)
      assert.deepStrictEqual(own.generation.drawing, { temperature: 3, topP: 0.9 })
      const rows = ["Q: 83-61\nA:", "Q: max(69,34)\nA:"].map((q) => ({ q, a: "22" }))
      const items = yield* Effect.forEach(rows, (row, id) => Items.make(own, id, row, []))
      assert.deepStrictEqual(
        items.map(({ requests }) => requests.length),
        [6, 6],
      )
      const asked = yield* respondent("math")
      const requests = items.flatMap((item) => item.requests)
      const answers = yield* Answering.answer(asked, requests, Journal.memory())
      assert.isAbove(new Set(answers.slice(0, 6)).size, 2)
      const alone = yield* Answering.answer(asked, requests.slice(3, 5), Journal.memory())
      assert.deepStrictEqual(alone, answers.slice(3, 5))
      const [line] = [
        Results.sample(
          { item: items[0]!, filter: "none", answers: answers.slice(0, 6), filtered: [], values: {} },
          {},
        ),
      ]
      assert.deepStrictEqual(line?.["resps"], [answers.slice(0, 6)])
      assert.deepStrictEqual(Object.keys(line?.["arguments"] ?? {}), ["gen_args_0"])
    }).pipe(Effect.scoped),
  )

  it.effect("without a temperature are one request, and a majority votes over what a filter keeps", () =>
    Effect.gen(function* () {
      const greedy = yield* task("repeats: 3\ngeneration_kwargs: { until: ['x'], do_sample: false }")
      const item = yield* Items.make(greedy, 0, { q: "1", a: "1" }, [])
      assert.strictEqual(item.requests.length, 3)
      assert.strictEqual(new Set(item.requests.map((request) => JSON.stringify(request))).size, 1)
      const voting = yield* task(`repeats: 5
filter_list:
  - name: first
    filter: [{ function: take_first }]
  - name: vote
    filter:
      - { function: take_first_k, k: 3 }
      - { function: majority_vote }
      - { function: take_first }`)
      const made = yield* Items.make(voting, 0, { q: "?", a: "4" }, [])
      const { scores } = Evaluation.score(voting, [made], [["5", "4", "4", "5", "5"]], 0)
      assert.deepStrictEqual(
        scores.map(({ filter, value }) => [filter, value]),
        [
          ["first", 0],
          ["vote", 1],
        ],
      )
    }).pipe(Effect.scoped),
  )
})

/** 1 − C(n−c, k) / C(n, k) over all documents, each binomial by Pascal's triangle. */
const slowPassAtK = (verdicts: ReadonlyArray<ReadonlyArray<boolean>>, k: number): number => {
  const choose = (n: number, m: number): number =>
    m === 0 ? 1 : n < m ? 0 : choose(n - 1, m - 1) + choose(n - 1, m)
  const each = verdicts.map((own) => {
    const wrong = own.filter((right) => !right).length
    return 1 - choose(wrong, k) / choose(own.length, k)
  })
  return each.reduce((sum, value) => sum + value, 0) / each.length
}

describe("pass@k", () => {
  it.effect("is the unbiased estimate for each k over the samples that a filter keeps", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Catalog.select(["humaneval_64"])
      const [entry] = tasks
      const own = yield* Task.make(
        entry!.file,
        {
          ...entry!.config,
          repeats: 4,
          filter_list: [{ name: "none", filter: [{ function: "take_first_k", k: 4 }] }],
          metric_list: [{ metric: "pass@k", k: [1, 2, 4], before: "prompt" }],
        },
        { allowCode: true },
      )
      const row = {
        prompt: "def f(x):\n",
        entry_point: "f",
        test: "def check(candidate):\n    assert candidate(1) == 2",
      }
      const items = yield* Effect.forEach([row, row], (one, id) => Items.make(own, id, one, []))
      const [right, wrong] = ["    return x + 1", "    return x"]
      const answers = [
        [right, wrong, wrong, wrong],
        [wrong, wrong, wrong, wrong],
      ]
      const passed = yield* Evaluation.verdicts(own, items, answers, yield* Sandbox.make)
      assert.deepStrictEqual(passed?.[0], [
        [true, false, false, false],
        [false, false, false, false],
      ])
      const { scores } = Evaluation.score(own, items, answers, 0, passed)
      for (const [i, k] of [1, 2, 4].entries()) {
        assert.strictEqual(scores[i]?.metric, `pass@${k}`)
        assert.closeTo(scores[i]?.value ?? 0, slowPassAtK(passed?.[0] ?? [], k), 1e-12)
      }
      const failure = yield* Effect.flip(
        Evaluation.verdicts(
          own,
          items,
          answers.map((given) => given.slice(1)),
          yield* Sandbox.make,
        ),
      )
      assert.match(failure.message, /filter_list\.none: leaves 3 of the samples, pass@4 needs 4/)
    }),
  )

  it.effect.each([
    ["metric_list: [{ metric: pass@k, k: 0 }]", /metric_list\.pass@k: k: expected one or more integers/],
    [
      "metric_list: [{ metric: pass@k, k: [1, 5] }]\nrepeats: 4",
      /metric_list\.pass@5: needs at least 5 samples .* repeats is 4/,
    ],
    [
      "metric_list: [{ metric: pass@1 }]\ngeneration_kwargs: { temprature: 1 }",
      /generation_kwargs\.temprature: unknown key; did you mean temperature\?/,
    ],
    [
      "metric_list: [{ metric: pass@1 }]\ngeneration_kwargs: { no_repeat_ngram_size: 3 }",
      /generation_kwargs\.no_repeat_ngram_size: unknown key; /,
    ],
    [
      "metric_list: [{ metric: pass@1 }]\ngeneration_kwargs: { no_repeat_ngram_size: 0, max_new_tokens: none }",
      /generation_kwargs\.max_new_tokens: expected an integer of at least 1, got "none"/,
    ],
    [
      "metric_list: [{ metric: pass@1 }]\ngeneration_kwargs: { top_p: 2 }",
      /generation_kwargs\.top_p: expected a number in \(0, 1\], got 2/,
    ],
  ] as const)("says in one line what is wrong: %s", ([lines, says]) =>
    Effect.gen(function* () {
      const place = yield* bench
      const file = place.write("small.yaml", generating(`unsafe_code: true\n${lines}`))
      const { tasks } = yield* Catalog.select([file])
      const error = yield* Effect.flip(Task.make(file, tasks[0]!.config, { allowCode: true }))
      assert.match(error.message, says)
      assert.notInclude(error.message, "\n")
    }).pipe(Effect.scoped),
  )
})
