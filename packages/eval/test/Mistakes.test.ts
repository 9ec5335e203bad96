import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Evaluation from "../src/Evaluation.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import { bench, jsonl, taskOf, taskText } from "./support.ts"

const rows = jsonl([
  { question: "1+1", options: ["1", "2"], gold: 1 },
  { question: "2+2", options: ["4", "5"], gold: 0 },
])

const good = `doc_to_text: "{{question}}"
doc_to_choice: "{{options}}"
doc_to_target: gold`

/** What a task file's mistake is said to be, without the directory. */
const mistake = (text: string, data = rows) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { directory, write } = yield* bench
      write("rows.jsonl", data)
      write("loop.yaml", "include: small.yaml\n")
      const file = write("small.yaml", text)
      const error = yield* Effect.flip(Effect.flatMap(taskOf(file), (task) => Evaluation.prepare(task)))
      assert.strictEqual(error.blame, "input")
      return error.message.replaceAll(`${directory}/`, "")
    }),
  )

const cases: ReadonlyArray<readonly [what: string, lines: string, message: string]> = [
  [
    "an unknown key",
    `${good}\nnum_fewshots: 2`,
    "small.yaml: num_fewshots: unknown key; did you mean num_fewshot?",
  ],
  [
    "an unknown key of the shots",
    `${good}\nfewshot_config:\n  samplr: first_n`,
    "small.yaml: fewshot_config.samplr: unknown key; did you mean sampler?",
  ],
  [
    "a template that cannot be read",
    good.replace("{{question}}", "{% if question %}"),
    "small.yaml: doc_to_text: the template ends inside a block or an expression: close it",
  ],
  [
    "a missing column",
    good.replace("question", "qestion"),
    'small.yaml: doc_to_text: the template uses "qestion", which the data lack; they have question, options, gold',
  ],
  [
    "a template that fails on a document",
    good.replace("{{question}}", "{{question|shout}}"),
    "small.yaml: doc_to_text: the template fails on a document: Unknown StringValue filter: shout",
  ],
  [
    "a gold answer out of range",
    good.replace("gold", '"{{gold + 1}}"'),
    'small.yaml: doc_to_target: document 0 has the gold answer 2; expected an index in 0…1 or one of ["1","2"]',
  ],
  [
    "a gold answer that is no choice",
    good.replace("gold", '"{{question}}"'),
    'small.yaml: doc_to_target: document 0 has the gold answer "1+1"; expected an index in 0…1 or one of ["1","2"]',
  ],
  [
    "a Python function",
    `${good}\nprocess_results: !function utils.score`,
    "small.yaml: process_results: !function utils.score is a Python function, which Hila does not run; write a template, or one of hila.hendrycks_math",
  ],
  [
    "a Python metric",
    `${good}\nmetric_list:\n  - metric: !function utils.score`,
    "small.yaml: metric_list: !function utils.score is a Python function, which Hila does not run",
  ],
  [
    "a value of the wrong kind",
    `${good}\nnum_fewshot: many`,
    'small.yaml: num_fewshot: Expected number | null, got "many"',
  ],
  [
    "an include in a circle",
    `${good}\ninclude: loop.yaml`,
    "small.yaml: include: goes in a circle: small.yaml → loop.yaml",
  ],
  [
    "more shots than documents",
    `${good}\nnum_fewshot: 3`,
    "small.yaml: num_fewshot: 3 shots need 3 documents, there are 2",
  ],
  [
    "choices that are none",
    good.replace("{{options}}", "{{question}}"),
    'small.yaml: doc_to_choice: expected a list of choices, got "1+1"',
  ],
  [
    "code that would have to be run",
    `${good}\nunsafe_code: true`,
    "small.yaml: unsafe_code: scoring this task runs programs a model wrote; allow it with --allow-code, and they run in a sandbox",
  ],
]

describe("a task file with a mistake", () => {
  it.effect.each(cases)("names file and key: %s", ([, lines, message]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* mistake(taskText(lines)), message)
    }),
  )

  it.effect("names the line of broken YAML", () =>
    Effect.gen(function* () {
      const message = yield* mistake("task: small\ndoc_to_text: 'open\n")
      assert.match(message, /^small\.yaml:\d: Missing closing 'quote$/)
    }),
  )

  it.effect("names the line of broken data, and the file that is not there", () =>
    Effect.gen(function* () {
      assert.match(yield* mistake(taskText(good), `${rows}{"question":`), /^rows\.jsonl:3: no JSON/)
      const message = yield* mistake(taskText(good).replace("rows.jsonl", "nothing.jsonl"))
      assert.match(message, /^small\.yaml: dataset_kwargs\.data_files\.test: there is no nothing\.jsonl in /)
    }),
  )
})

describe("a task that is asked for by name", () => {
  it.effect.each([
    ["hellaswg", "tasks: there is no task hellaswg; did you mean hellaswag?"],
    ["ii-finance", /^tasks: II-Finance, which HILA's authors used, has no public source/],
    ["everything", "tasks: there is no task everything; see `hila tasks list`"],
  ] as const)("is not there: %s", ([name, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Catalog.select([name]))
      if (typeof message === "string") assert.strictEqual(error.message, message)
      else assert.match(error.message, message)
    }),
  )
})
