import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Evaluation from "../src/Evaluation.ts"
import * as Results from "../src/results/Results.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Task from "../src/tasks/Task.ts"
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
    "small.yaml: doc_to_text: the template fails on a document: there is no filter shout",
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
    "small.yaml: process_results: !function utils.score is a Python function, which Hila does not run; write a template, or one of hila.truthfulqa_mc2, hila.hendrycks_math, hila.wikitext_counts",
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
    "a metric's argument that is none",
    `${good}\nmetric_list:\n  - metric: exact_match\n    ignore_cases: true`,
    "small.yaml: metric_list.exact_match: ignore_cases: unknown; exact_match takes regexes_to_ignore, ignore_case, ignore_punctuation, ignore_numbers",
  ],
  [
    "an argument for a metric that takes none",
    `${good}\nmetric_list:\n  - metric: acc\n    ignore_case: true`,
    "small.yaml: metric_list.acc: ignore_case: unknown; acc takes no arguments",
  ],
  [
    "a metric's argument of the wrong kind",
    `${good}\nmetric_list:\n  - metric: exact_match\n    ignore_case: 'no'`,
    'small.yaml: metric_list.exact_match: ignore_case: expected true or false (a text that says no is true to the harness), got "no"',
  ],
  [
    "a filter's argument that is none",
    `${good}\nfilter_list:\n  - name: last\n    filter: [{ function: regex, regex_pattern: "a", group_selct: -1 }]`,
    "small.yaml: filter_list.last: group_selct: unknown; regex takes regex_pattern, group_select, fallback",
  ],
  [
    "a filter of choices over data without them",
    `${good}\nfilter_list:\n  - name: own\n    filter: [{ function: multi_choice_regex, regex_pattern: "a" }]`,
    'small.yaml: filter_list.own: document 0 has no list of texts "choices", which the filter reads',
  ],
  [
    "an include that is not there",
    `${good}\ninclude: other.yaml`,
    "small.yaml: include: there is no other.yaml that can be read",
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

describe("task files of one's own", () => {
  const place = Effect.gen(function* () {
    const files = yield* bench
    files.write("rows.jsonl", rows)
    return { ...files, small: files.write("small.yaml", taskText(good)) }
  })
  const group = (lines: string) => `group: all\ntask: [small]\n${lines}`

  it.effect("of one name are not mixed up", () =>
    Effect.gen(function* () {
      const { small, write } = yield* place
      const twin = write("twin.yaml", taskText(good))
      const error = yield* Effect.flip(Catalog.select([small, twin]))
      assert.strictEqual(
        error.message,
        `${twin}: task: small is also the name of what ${small} holds; give one of them another name`,
      )
      assert.strictEqual((yield* Catalog.select([small, small])).tasks.length, 1)
      const lost = yield* Effect.flip(Catalog.select(["lost.yaml"]))
      assert.strictEqual(lost.message, "lost.yaml: cannot be read: is the path right?")
    }),
  )

  it.effect("hide no other when one of them is broken, unless it may be the one that is asked for", () =>
    Effect.gen(function* () {
      const { directory, write } = yield* place
      write("named-otherwise.yaml", taskText(good).replace("small", "other"))
      write("broken.yaml", "task: broken\nnum_fewshots: 1\n")
      const { tasks } = yield* Catalog.select(["other"], [directory])
      assert.deepStrictEqual(
        tasks.map(({ name }) => name),
        ["other"],
      )
      const error = yield* Effect.flip(Catalog.select(["broken"], [directory]))
      assert.match(error.message, /broken\.yaml: num_fewshots: unknown key/)
      write("unreadable.yaml", "task: [\n")
      const lost = yield* Effect.flip(Catalog.select(["lost"], [directory]))
      assert.match(
        lost.message,
        /^tasks: there is no task lost; .* \(a file that cannot be read may hold it: .*unreadable\.yaml:\d+: /,
      )
    }),
  )

  it.effect("are found beside the file of their group", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const { groups, tasks } = yield* Catalog.select([write("group.yaml", group(""))])
      assert.deepStrictEqual([tasks[0]?.name, groups[0]?.name], ["small", "all"])
    }),
  )

  it.effect("sum up what their tasks have, as a mean", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const check = (lines: string) =>
        Effect.gen(function* () {
          const { groups, tasks } = yield* Catalog.select([write("group.yaml", group(lines))])
          const made = yield* Effect.forEach(tasks, ({ config, file }) => Task.make(file, config))
          return yield* Results.checkGroups(groups, made)
        })
      yield* check("aggregate_metric_list: [{ metric: acc, weight_by_size: yes }]")
      const metric = yield* Effect.flip(check("aggregate_metric_list: [{ metric: accuracy }]"))
      assert.match(
        metric.message,
        /group\.yaml: aggregate_metric_list: no task of the group has accuracy; they have acc, acc_norm$/,
      )
      const median = yield* Effect.flip(
        check("aggregate_metric_list: [{ metric: acc, aggregation: median }]"),
      )
      assert.match(median.message, /aggregate_metric_list\.0\.aggregation: Expected "mean", got "median"/)
    }),
  )

  it.effect("have yes and no as the harness's reader has them", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const file = write(
        "yes.yaml",
        taskText('doc_to_choice: [no, "no", off, nope]\nshould_decontaminate: yes'),
      )
      const [entry] = (yield* Catalog.select([file])).tasks
      assert.deepStrictEqual(entry?.config.doc_to_choice, [false, "no", false, "nope"])
      assert.strictEqual(entry?.config.should_decontaminate, true)
    }),
  )
})

describe("documents that are asked", () => {
  const numbers: ReadonlyArray<readonly [Evaluation.Options, string]> = [
    [{ limit: 1.5 }, "limit: expected a number of documents of at least 1 or a share below 1, got 1.5"],
    [{ limit: 0 }, "limit: expected a number of documents of at least 1 or a share below 1, got 0"],
    [{ sample: 0 }, "sample: expected a number of documents of at least 1, got 0"],
    [{ sample: 0.5 }, "sample: expected a number of documents of at least 1, got 0.5"],
  ]
  it.effect("are the first so many, or a share of them that is rounded up", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("rows.jsonl", rows.repeat(3))
      const task = yield* taskOf(write("small.yaml", taskText(good)))
      const idsOf = (limit: number) =>
        Effect.map(Evaluation.prepare(task, { limit }), ({ items }) => items.map(({ id }) => id))
      assert.deepStrictEqual(yield* idsOf(2), [0, 1])
      assert.deepStrictEqual(yield* idsOf(0.4), [0, 1, 2])
      assert.deepStrictEqual(yield* idsOf(1e-6), [0])
      assert.deepStrictEqual(yield* idsOf(100), [0, 1, 2, 3, 4, 5])
    }),
  )

  it.effect.each(numbers)("are not counted so: %o", ([options, message]) =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("rows.jsonl", rows)
      const task = yield* taskOf(write("small.yaml", taskText(good)))
      const error = yield* Effect.flip(Evaluation.prepare(task, options))
      assert.strictEqual(error.message, message)
    }),
  )
})

describe("a task that is asked for by name", () => {
  it.effect.each([
    ["hellaswg", "tasks: there is no task hellaswg; did you mean hellaswag?"],
    ["ii-finance", /^tasks: II-Finance, which HILA's authors used, has no public source/],
    [
      "everything",
      "tasks: there is no task everything; see `hila tasks list`, or name a directory of your own with --include",
    ],
  ] as const)("is not there: %s", ([name, message]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Catalog.select([name]))
      if (typeof message === "string") assert.strictEqual(error.message, message)
      else assert.match(error.message, message)
    }),
  )
})
