/** Task files as the harness reads them: YAML of PyYAML's, groups and what they say of their tasks, what is not run. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Evaluation from "../src/Evaluation.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Task from "../src/tasks/Task.ts"
import * as TaskFile from "../src/tasks/TaskFile.ts"
import { bench, jsonl, taskText } from "./support.ts"

const choosing = 'doc_to_text: "{{q}}"\ndoc_to_choice: ["no", "yes"]\ndoc_to_target: label'
const named = (name: string, lines = choosing) => taskText(lines).replace("small", name)

/** A directory with two tasks in which more is written. */
const place = Effect.gen(function* () {
  const files = yield* bench
  files.write(
    "rows.jsonl",
    jsonl([
      { q: "Is it?", label: 1 },
      { q: "Was it?", label: 0 },
    ]),
  )
  files.write("one.yaml", named("one"))
  files.write("two.yaml", named("two", `${choosing}\ntag: pair`))
  return files
})

/** What a group's file selects: names of tasks with one of their settings, and groups with their members. */
const selected = (text: string, key: "num_fewshot" | "task_alias" | "metric_list" = "num_fewshot") =>
  Effect.gen(function* () {
    const { directory, write } = yield* place
    write("_all.yaml", text)
    const { groups, tasks } = yield* Catalog.select(["all"], [directory])
    return {
      tasks: tasks.map(({ config, name }) => [name, config[key]]),
      groups: groups.map(({ members, name }) => [name, members]),
    }
  })

describe("a group", () => {
  // The case include-names-in-underscore-files.
  it.effect("is found in a file whose name begins with _, beside one that is broken", () =>
    Effect.gen(function* () {
      const { directory, write } = yield* place
      write("_mygroup.yaml", "group: mygroup\ntask: [one]\naggregate_metric_list: [{metric: acc}]\n")
      write("broken.yaml", "task: [\n")
      const { groups, tasks } = yield* Catalog.select(["mygroup"], [directory])
      assert.deepStrictEqual(
        [groups.map(({ name }) => name), tasks.map(({ name }) => name)],
        [["mygroup"], ["one"]],
      )
      const broken = yield* Effect.flip(Catalog.select(["broken"], [directory]))
      assert.match(broken.message, /broken\.yaml:\d+: /)
    }),
  )

  it.effect("names one task, several, a tag, or says more of them", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* selected("group: all\ntask: one\n"), {
        tasks: [["one", undefined]],
        groups: [["all", ["one"]]],
      })
      assert.deepStrictEqual(yield* selected("group: all\ntask: [pair, one]\n"), {
        tasks: [
          ["two", undefined],
          ["one", undefined],
        ],
        groups: [["all", ["two", "one"]]],
      })
      assert.deepStrictEqual(
        yield* selected("group: all\ntask: [{task: one, num_fewshot: 1}, two]\nnum_fewshot: 2\n"),
        {
          tasks: [
            ["one", 1],
            ["two", 2],
          ],
          groups: [["all", ["one", "two"]]],
        },
      )
      assert.deepStrictEqual(
        yield* selected(
          "group: all\ntask: [{task: one, task_alias: First}]\ntag: null\nmetric_list: null\nfilter_list: null\n",
          "task_alias",
        ),
        { tasks: [["one", "First"]], groups: [["all", ["one"]]] },
      )
      const metrics = yield* selected(
        "group: all\ntask: [one]\nmetric_list: [{metric: acc}]\naggregate_metric_list: {metric: acc, weight_by_size: yes}\n",
        "metric_list",
      )
      assert.deepStrictEqual(metrics.tasks, [["one", [{ metric: "acc" }]]])
    }),
  )

  it.effect("holds tasks and groups that are written out in it", () =>
    Effect.gen(function* () {
      const inline = `group: all
task:
  - group: inner
    task: [one, {task: two, num_fewshot: 1}]
  - task: three
    dataset_path: json
    dataset_kwargs: {data_files: {test: rows.jsonl}}
    test_split: test
    doc_to_text: "{{q}}"
`
      assert.deepStrictEqual(yield* selected(inline), {
        tasks: [
          ["one", undefined],
          ["two", 1],
          ["all::three", undefined],
        ],
        groups: [
          ["all::inner", ["one", "two"]],
          ["all", ["all::inner", "all::three"]],
        ],
      })
      const nameless = yield* Effect.flip(selected("group: all\ntask: [{dataset_path: json}]\n"))
      assert.match(
        nameless.message,
        /_all\.yaml: task: a member that is written out needs task: or group: with its name$/,
      )
      const misspelt = yield* Effect.flip(selected("group: all\ntask: [one]\nagregate_metric_list: []\n"))
      assert.match(
        misspelt.message,
        /_all\.yaml: agregate_metric_list: unknown key; did you mean aggregate_metric_list\?$/,
      )
    }),
  )

  it.effect("does not ask for a task twice in two ways", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(selected("group: all\ntask: [one, {task: one, num_fewshot: 1}]\n"))
      assert.match(error.message, /one\.yaml: task: one is asked for twice with other settings; /)
    }),
  )
})

describe("YAML", () => {
  it.effect.each([
    ["a: 1\na: 2", { a: 2 }],
    ["a: [yes, No, ON, off, true, y, n]", { a: [true, false, true, false, true, "y", "n"] }],
    ["a: [010, 0x1F, 0b11, 1_000, -7, +3, 1:30]", { a: [8, 31, 3, 1000, -7, 3, 90] }],
    [
      "a: [1.5, .5, 1., 1e3, 1.0e+3, 1e-5, .inf, 1_0.5]",
      { a: [1.5, 0.5, 1, "1e3", 1000, "1e-5", Infinity, 10.5] },
    ],
    ["a: [~, null, Null, ]\nb:", { a: [null, null, null], b: null }],
    ["base: &base {x: 1, y: 2}\na: {<<: *base, y: 3}", { base: { x: 1, y: 2 }, a: { x: 1, y: 3 } }],
    ["a: 2024-01-02", { a: "2024-01-02" }],
    ["a: 'it''s'\nb: \"tab\\t\"", { a: "it's", b: "tab\t" }],
  ] as const)("is read as PyYAML reads it: %s", ([text, content]) =>
    Effect.gen(function* () {
      const { write } = yield* bench
      assert.deepStrictEqual(yield* TaskFile.read(write("a.yaml", text)), content)
    }),
  )

  it.effect("includes several files, of any name, the later before the earlier", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("_base_yaml", "a: 1\nb: 1\nc: 1\n")
      write("more/other", "b: 2\nc: 2\n")
      const file = write("a.yaml", "include: [_base_yaml, more/other]\nc: 3\n")
      assert.deepStrictEqual(yield* TaskFile.read(file), { a: 1, b: 2, c: 3 })
    }),
  )

  it.effect("has values that the harness takes as true", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const lines = `${choosing}\nshould_decontaminate: "yes"\nunsafe_code: 0\nmetric_list: [{metric: acc, higher_is_better: "True", weight_by_size: 1}, {metric: exact_match, ignore_case: 1}]`
      const [entry] = (yield* Catalog.select([write("t.yaml", named("t", lines))])).tasks
      const task = yield* Task.make(entry?.file ?? "", entry?.config ?? { task: "" })
      assert.deepStrictEqual(
        task.metrics.map(({ higherIsBetter, name }) => [name, higherIsBetter]),
        [
          ["acc", true],
          ["exact_match", true],
        ],
      )
    }),
  )
})

describe("what asks for Python or for more than texts", () => {
  const refused = (text: string) =>
    Effect.gen(function* () {
      const { directory, write } = yield* place
      const file = write("t.yaml", text)
      const made = Effect.flatMap(Catalog.select([file]), ({ tasks: [entry] }) =>
        Task.make(file, entry?.config ?? { task: "" }),
      )
      return (yield* Effect.flip(made)).message.replace(`${directory}/`, "")
    })

  // The cases multimodal-and-class-keys and tasks-show-python-process-docs.
  it.effect.each([
    [
      "task: i\ndataset_path: json\ndoc_to_image: [img]",
      "t.yaml: doc_to_image: images are not given to models here; only tasks of texts are run",
    ],
    [
      "task: c\nclass: !function task.MyTask",
      "t.yaml: class: !function task.MyTask is a Python class, which Hila does not run; a task has to be written out in YAML",
    ],
    [
      "task: f\ndataset_path: json\nfilter_list: [{name: n, filter: [{function: !function utils.F}]}]",
      /^t\.yaml: filter_list\.n: !function utils\.F is a Python class, which Hila does not run; there are regex, /,
    ],
    [
      "task: f\ndataset_path: json\nfilter_list: [{name: n, filter: [{function: custom, filter_fn: !function utils.f}]}]",
      /^t\.yaml: filter_list\.n: !function utils\.f is a Python function, which Hila does not run; there are regex, /,
    ],
    [
      "task: s\ndataset_path: json\nfewshot_config: {samples: !function utils.shots}",
      "t.yaml: fewshot_config.samples: !function utils.shots is a Python function, which Hila does not run; write the samples out",
    ],
    [
      named("t", `${choosing}\nprocess_docs: !function utils.process_docs`),
      /^t\.yaml: process_docs: !function utils\.process_docs is a Python function, which Hila does not run; /,
    ],
    [
      named("t", `${choosing}\ndescription: !function utils.describe`),
      "t.yaml: description: !function utils.describe is a Python function, which Hila does not run",
    ],
    [
      named("t", `${choosing}\nuse_prompt: "promptsource:*"`),
      /^t\.yaml: use_prompt: prompts of the library promptsource are not read here; /,
    ],
    ["dataset_path: json", "t.yaml: has neither task: nor group:, so that it can only be included by others"],
    [
      "task: g\ndataset_path: json\ngeneration_kwargs: {num_beams: 4}",
      /^t\.yaml: generation_kwargs\.num_beams: texts are not searched for by beams here; /,
    ],
  ] as const)("is told so: %s", ([text, message]) =>
    Effect.gen(function* () {
      const told = yield* refused(text)
      if (typeof message === "string") assert.strictEqual(told, message)
      else assert.match(told, message)
    }),
  )

  it.effect("and not run is a query that nothing here asks", () =>
    Effect.gen(function* () {
      const { write } = yield* place
      const lines = `${choosing}\nshould_decontaminate: true\ndoc_to_decontamination_query: !function utils.query`
      const [entry] = (yield* Catalog.select([write("t.yaml", named("t", lines))])).tasks
      const { items } = yield* Evaluation.prepare(
        yield* Task.make(entry?.file ?? "", entry?.config ?? { task: "" }),
      )
      assert.strictEqual(items.length, 2)
    }),
  )
})
