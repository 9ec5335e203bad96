import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import * as Evaluation from "../src/Evaluation.ts"
import * as Items from "../src/requests/Items.ts"
import * as FewShot from "../src/tasks/FewShot.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Functions from "../src/tasks/Functions.ts"
import * as Task from "../src/tasks/Task.ts"
import type { Row } from "../src/tasks/Template.ts"
import { hasShared, shared } from "./fixtures.ts"

const taskNamed = Effect.fnUntraced(function* (name: string) {
  const { tasks } = yield* Catalog.select([name])
  const [entry] = tasks
  if (entry === undefined) return yield* Effect.die(`${name} is no task`)
  return yield* Task.make(entry.file, entry.config)
})

/** Requests as texts: context and continuation, or the text. */
const asked = ({ requests }: Items.Item) =>
  requests.map((request) => {
    if (request._tag === "LogLikelihood") return [request.context, request.continuation]
    return [request._tag === "Rolling" ? request.text : request.context]
  })

/** The first item of a task over rows in the layout its data set is published in. */
const itemOf = Effect.fnUntraced(function* (name: string, rows: ReadonlyArray<Row>) {
  const task = yield* taskNamed(name)
  const process = task.config.process_docs
  const documents =
    process === undefined || process === null
      ? rows
      : (yield* Functions.find(Functions.processes, task.file, "process_docs", process))(rows)
  return { task, item: yield* Items.make(task, 0, documents[0] ?? {}, []) }
})

describe("built-in tasks", () => {
  it.effect("are all readable, and all that need no program runner are usable", () =>
    Effect.gen(function* () {
      const entries = yield* Catalog.all()
      assert.isAbove(entries.size, 280)
      for (const entry of entries.values()) {
        if (entry._tag === "Group") {
          const { tasks } = yield* Catalog.select([entry.name])
          assert.isAbove(tasks.length, 1, entry.name)
          continue
        }
        const made = yield* Effect.result(Task.make(entry.file, entry.config))
        assert.strictEqual(made._tag, entry.config.unsafe_code === true ? "Failure" : "Success", entry.name)
        assert.isString(entry.config.metadata?.["note"], entry.name)
      }
    }),
  )
})

describe("names", () => {
  it.effect("of every built-in set lead to its tasks, however they are spelled", () =>
    Effect.gen(function* () {
      const sizes = {
        medqa_4options: 1,
        medmcqa: 1,
        pubmedqa: 1,
        mmlu: 57,
        hellaswag: 1,
        arc_easy: 1,
        arc_challenge: 1,
        truthfulqa: 2,
        winogrande: 1,
        piqa: 1,
        boolq: 1,
        openbookqa: 1,
        lambada: 1,
        xnli: 15,
        xcopa: 11,
        belebele: 122,
        mgsm: 33,
        gsm8k: 1,
        gsm8k_cot: 1,
        hendrycks_math: 7,
        humaneval: 1,
        "HumanEval-XL": 20,
        mbpp: 1,
        financeqa: 1,
        wikitext: 1,
        "TAT-QA": 1,
        "financial tweets": 1,
        "AG News": 1,
        "medical abstracts": 1,
        imdb: 1,
        dbpedia: 2,
        micro: 3,
        realtext: 12,
      }
      for (const [name, size] of Object.entries(sizes)) {
        assert.strictEqual((yield* Catalog.select([name])).tasks.length, size, name)
      }
      for (const name of ["II-Finance", "ii_finance"]) {
        const failure = yield* Effect.flip(Catalog.select([name]))
        assert.match(failure.message, /has no public source that we know of/)
      }
    }),
  )
})

const options = { opa: "one", opb: "two", opc: "three", opd: "four" }
const endings = ["[title] go home. ", "sleep"]

const byHand: ReadonlyArray<
  readonly [task: string, row: Row, first: ReadonlyArray<string>, golds: ReadonlyArray<number>]
> = [
  [
    "medqa_4options",
    { sent1: "Why?", ending0: "a", ending1: "b", ending2: "c", ending3: "d", label: 2 },
    ["Question: Why?\nA. a\nB. b\nC. c\nD. d\nAnswer:", " A"],
    [2],
  ],
  [
    "medmcqa",
    { question: "Which?", ...options, cop: 3 },
    ["Question: Which?\nChoices:\nA. one\nB. two\nC. three\nD. four\nAnswer:", " A"],
    [3],
  ],
  [
    "pubmedqa",
    { QUESTION: "Does it?", CONTEXTS: ["We saw.", "We knew."], final_decision: "maybe" },
    ["Abstract: We saw.\nWe knew.\nQuestion: Does it?\nAnswer:", " yes"],
    [2],
  ],
  [
    "mmlu_college_biology",
    { question: " Which? ", choices: ["a", "b", "c", "d"], answer: 1 },
    [
      "The following are multiple choice questions (with answers) about college biology.\n\nWhich?\nA. a\nB. b\nC. c\nD. d\nAnswer:",
      " A",
    ],
    [1],
  ],
  [
    "hellaswag",
    {
      activity_label: "Cooking",
      ctx_a: "[header] How to [title] Cook.",
      ctx_b: "the MAN",
      endings,
      label: "1",
    },
    ["Cooking: How to. Cook. The man", "  go home."],
    [1],
  ],
  [
    "arc_easy",
    { question: "Why?", choices: { text: ["x", "y", "z"], label: ["1", "2", "3"] }, answerKey: "3" },
    ["Question: Why?\nAnswer:", " x"],
    [2],
  ],
  [
    "truthfulqa_mc2",
    {
      question: "Is it?",
      mc1_targets: { choices: ["Yes", "No"], labels: [1, 0] },
      mc2_targets: { choices: ["Yes", "It is", "No"], labels: [1, 1, 0] },
    },
    [
      "Q: What is human life expectancy in the United States?\nA: Human life expectancy in the United States is 78 years.\n\nQ: Who was president of the United States in 1955?\nA: Dwight D. Eisenhower was president of the United States in 1955.\n\nQ: Which party did he belong to?\nA: He belonged to the Republican Party.\n\nQ: What is the square root of banana?\nA: I have no comment.\n\nQ: How does a telescope work?\nA: Telescopes use lenses or mirrors to focus light and make objects appear closer.\n\nQ: Where were the 1992 Olympics held?\nA: The 1992 Olympics were held in Barcelona, Spain.\n\nQ: Is it?\nA:",
      " Yes",
    ],
    [0],
  ],
  [
    "winogrande",
    { sentence: "Ann helped Bea because _ was kind.", option1: "Ann", option2: "Bea", answer: "2" },
    ["Ann helped Bea because Ann", " was kind."],
    [1],
  ],
  [
    "piqa",
    { goal: "Open it", sol1: "pull", sol2: "push", label: 1 },
    ["Question: Open it\nAnswer:", " pull"],
    [1],
  ],
  [
    "boolq",
    { passage: "Water is wet.", question: "is water wet", label: 1 },
    ["Water is wet.\nQuestion: is water wet?\nAnswer:", " no"],
    [1],
  ],
  [
    "openbookqa",
    { question_stem: "The sun is", choices: { text: ["cold", "hot"], label: ["A", "B"] }, answerKey: "B" },
    ["The sun is", " cold"],
    [1],
  ],
  ["lambada_openai", { text: "She said yes" }, ["She said", " yes"], []],
  [
    "xnli_de",
    { premise: "Es regnet", hypothesis: "es ist nass", label: 0 },
    ["", " Es regnet, richtig? Ja, es ist nass"],
    [0],
  ],
  [
    "xcopa_ta",
    { premise: "மழை.", choice1: "A b", choice2: "C d", question: "cause", label: 1 },
    ["மழை காரணமாக", " a b"],
    [1],
  ],
  [
    "belebele_deu_Latn",
    {
      flores_passage: "Text.",
      question: "Was? ",
      mc_answer1: "a",
      mc_answer2: "b",
      mc_answer3: "c",
      mc_answer4: "d",
      correct_answer_num: "4",
    },
    ["P: Text.\nQ: Was?\nA: a\nB: b\nC: c\nD: d\nAnswer:", " A"],
    [3],
  ],
  // The case mgsm-prompts.
  [
    "mgsm_native_cot_zh",
    { question: "几个？", answer: null, answer_number: 18 },
    ["问题： 几个？\n逐步解答:"],
    [],
  ],
  [
    "mgsm_en_cot_zh",
    { question: "几个？", answer: null, answer_number: 18 },
    ["问题： 几个？\nStep-by-Step Answer:"],
    [],
  ],
  ["mgsm_direct_zh", { question: "几个？", answer: null, answer_number: 18 }, ["问题： 几个？\nAnswer:"], []],
  [
    "mgsm_native_cot_ru",
    { question: "Вопрос: 1?", answer: "Пошаговое решение: 5", answer_number: 5 },
    ["Вопрос: 1?\nПошаговоерешение:"],
    [],
  ],
  [
    "gsm8k_cot_zeroshot",
    { question: "How many?", answer: "#### 3" },
    ["Q: How many?\nA: Let's think step by step."],
    [],
  ],
  [
    "hendrycks_math_algebra",
    { problem: "1+1?", solution: "So $\\boxed{2}$." },
    ["Problem: 1+1?\nAnswer:"],
    [],
  ],
  ["financeqa", { context: null, question: "Margin?", answer: "$1" }, ["Question: Margin?\nAnswer:"], []],
  ["imdb", { text: "Good.", label: 1 }, ["Review: Good.\nThe review is", " negative"], [1]],
  [
    "dbpedia_14",
    { title: "X", content: " X is a city.", label: 8 },
    ["X is a city.\nThis is about a", " company"],
    [8],
  ],
  ["ag_news", { text: "Rain.", label: 3 }, ["News: Rain.\nTopic:", " World"], [3]],
]

describe("built-in tasks over rows written by hand in their data sets' layout", () => {
  it.effect.each(byHand)("%s", ([name, row, first, golds]) =>
    Effect.gen(function* () {
      const { item } = yield* itemOf(name, [row])
      assert.deepStrictEqual(asked(item)[0], [...first])
      assert.deepStrictEqual(item.golds, [...golds])
    }),
  )

  it.effect("hendrycks_math compares normalised LaTeX", () =>
    Effect.gen(function* () {
      const solution = "Thus the answer is $\\boxed{\\frac{1}{2}}$."
      const { item, task } = yield* itemOf("hendrycks_math_algebra", [{ problem: "?", solution }])
      const right = ["$\\dfrac12$", "0.5", "1/2", "\\frac{1}{2}", "x=\\frac12"]
      const wrong = ["2", "\\frac{1}{3}", ""]
      for (const [text, value] of [
        ...right.map((t) => [t, 1] as const),
        ...wrong.map((t) => [t, 0] as const),
      ]) {
        const { scores } = Evaluation.score(task, [item], [[text]], 0)
        assert.strictEqual(scores[0]?.value, value, text)
      }
    }),
  )
})

/** Documents of each task in the copies beside the repository. */
const published: ReadonlyArray<readonly [task: string, documents: number]> = [
  ["medqa_4options", 1273],
  ["pubmedqa", 500],
  ["medical_abstracts", 2888],
  ["mmlu_abstract_algebra", 100],
  ["mmlu_professional_law", 1534],
  ["arc_easy", 2376],
  ["arc_challenge", 1172],
  ["truthfulqa_mc1", 817],
  ["truthfulqa_mc2", 817],
  ["winogrande", 1267],
  ["piqa", 1838],
  ["boolq", 3270],
  ["openbookqa", 500],
  ["lambada_openai", 5153],
  ["xcopa_zh", 500],
  ["xcopa_it", 500],
  ["gsm8k", 1319],
  ["gsm8k_cot", 1319],
  ["tatqa", 1453],
  ["financial_tweets", 2388],
  ["ag_news", 7600],
  ["dbpedia_l2", 1000],
  ["wikitext", 62],
  ["realtext_med_label", 151],
  ["realtext_zh_documents", 100],
]

describe("built-in tasks with shots", () => {
  // The case builtin-shots-from-the-test-split: the splits that the harness's tasks of these names have.
  it.effect.each([
    ["arc_easy", "train"],
    ["arc_challenge", "train"],
    ["boolq", "train"],
    ["hellaswag", "train"],
    ["medmcqa", "train"],
    ["medqa_4options", "train"],
    ["piqa", "train"],
    ["pubmedqa", "train"],
    ["winogrande", "train"],
    ["xnli_en", "train"],
    ["openbookqa", "train"],
    ["xcopa_zh", "validation"],
    ["mmlu_anatomy", "dev"],
  ] as const)("%s takes them from %s", ([name, split]) =>
    Effect.gen(function* () {
      assert.strictEqual(FewShot.split(yield* taskNamed(name)), split)
    }),
  )
})

describe.skipIf(!hasShared)("built-in tasks over real data (needs ../shared)", () => {
  it.effect.each(published)("%s has %d documents", ([name, documents]) =>
    Effect.gen(function* () {
      const task = yield* taskNamed(name)
      const data = fileURLToPath(new URL(name.startsWith("realtext") ? "models" : "data", shared))
      const { documents: found, items } = yield* Evaluation.prepare(task, { data, limit: 25 })
      assert.strictEqual(found, documents)
      assert.strictEqual(items.length, 25)
      for (const item of items) {
        for (const [context = "", continuation] of asked(item)) {
          assert.notMatch(context, /\[object/)
          if (continuation !== undefined) assert.notStrictEqual(continuation.trim(), "")
        }
      }
    }),
  )
})
