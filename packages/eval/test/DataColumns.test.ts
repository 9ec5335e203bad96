/** Files of a task's own as the reference harness's loader reads them: kinds of columns, layouts of JSON, where they lie. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { python } from "../src/internal/python.ts"
import * as Dataset from "../src/tasks/Dataset.ts"
import * as Evaluation from "../src/Evaluation.ts"
import * as Results from "../src/results/Results.ts"
import { bench, jsonl, taskOf, taskText } from "./support.ts"

interface Case {
  readonly loader: string
  readonly text: string
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly rows: ReadonlyArray<Readonly<Record<string, string>>>
}

// Made by tools/oracles/data_columns.py.
const recorded: ReadonlyArray<Case> = JSON.parse(
  readFileSync(new URL("fixtures/data-columns.json", import.meta.url), "utf8"),
)

/** A task over data given by `dataset_kwargs`, whose documents are wanted. */
const over = (loader: string, kwargs: Readonly<Record<string, unknown>>): string =>
  `task: t\ndataset_path: ${loader}\ndataset_kwargs: ${JSON.stringify(kwargs)}\ntest_split: test\ndoc_to_text: x\n`

const rowsOf = Effect.fnUntraced(function* (file: string, split = "test") {
  const { config } = yield* taskOf(file)
  return (yield* Dataset.read(file, config, split)).rows
})

const printed = (rows: ReadonlyArray<Readonly<Record<string, unknown>>>) =>
  rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name, python(value)])))

describe("columns of data files", () => {
  // The cases float-columns, boolean-answer and json-lines-in-a-json-file are among these kinds.
  it.effect.each(recorded.map((one) => [`${one.loader} ${JSON.stringify(one.text)}`, one] as const))(
    "are printed as Python prints what the harness's loader reads: %s",
    ([, { kwargs, loader, rows, text }]) =>
      Effect.gen(function* () {
        const { write } = yield* bench
        write("rows.data", text)
        const file = write("t.yaml", over(loader, { data_files: { test: "rows.data" }, ...kwargs }))
        assert.deepStrictEqual(printed(yield* rowsOf(file)), rows)
      }),
  )

  it.effect("are of the kinds of the first split's", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("train.jsonl", '{"a": 2.5, "b": 1}\n')
      write("test.jsonl", '{"a": 18}\n')
      const data_files = { train: "train.jsonl", test: "test.jsonl" }
      const file = write("t.yaml", over("json", { data_files }))
      assert.deepStrictEqual(printed(yield* rowsOf(file)), [{ a: "18.0", b: "None" }])
    }),
  )

  // The case float-columns.
  it.effect("of floats make prompts and answers of floats", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("d.jsonl", '{"q": "1", "a": 18.0}\n{"q": "2", "a": 2.5}\n')
      const task = yield* taskOf(
        write(
          "t.yaml",
          over("json", { data_files: { test: "d.jsonl" } }).replace(
            "doc_to_text: x",
            'doc_to_text: "{{q}} = {{a}};"\ndoc_to_target: a',
          ),
        ),
      )
      const { items } = yield* Evaluation.prepare(task)
      assert.deepStrictEqual(
        items.map(({ requests: [request], target }) => [
          request?._tag === "Generate" && request.context,
          target,
        ]),
        [
          ["1 = 18.0;", "18.0"],
          ["2 = 2.5;", "2.5"],
        ],
      )
    }),
  )

  // The case boolean-answer.
  it.effect("of truth values are gold answers: true is the index 1", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write(
        "rows.jsonl",
        jsonl([
          { q: "a", label: true },
          { q: "b", label: false },
        ]),
      )
      const lines = 'doc_to_text: "{{q}}"\ndoc_to_choice: ["no", "yes"]\ndoc_to_target: label'
      const { items } = yield* Evaluation.prepare(yield* taskOf(write("t.yaml", taskText(lines))))
      assert.deepStrictEqual(
        items.map(({ golds }) => golds),
        [[1], [0]],
      )
      // In a samples file they stand as Python prints them.
      const task = yield* taskOf(write("t.yaml", taskText(lines)))
      const { samples } = Evaluation.score(
        task,
        items,
        items.map(() => [
          [-1, false],
          [-2, false],
        ]),
        0,
      )
      assert.deepStrictEqual(
        samples.map((one) => Results.sample(one, {})["target"]),
        ["True", "False"],
      )
    }),
  )
})

describe("the files of a task's data", () => {
  // The case json-lines-in-a-json-file.
  it.effect("are read by their loader, whatever they are called, gzipped or not", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("d.json", '{"q": "Is it?", "label": 1}\n{"q": "Was it?", "label": 0}\n')
      const file = write("t.yaml", over("json", { data_files: { test: "d.json" } }))
      assert.strictEqual((yield* rowsOf(file)).length, 2)
    }),
  )

  it.effect("are patterns, lists, and in a directory", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      for (const n of [1, 2, 3]) write(`parts/part-${n}.jsonl`, `{"n": ${n}}\n`)
      const numbers = (kwargs: Readonly<Record<string, unknown>>, split = "test") =>
        Effect.map(rowsOf(write("t.yaml", over("json", kwargs)), split), (rows) => rows.map(({ n }) => n))
      assert.deepStrictEqual(yield* numbers({ data_files: { test: "parts/*.jsonl" } }), [1, 2, 3])
      assert.deepStrictEqual(
        yield* numbers({ data_files: { test: ["parts/part-3.jsonl", "parts/part-1.jsonl"] } }),
        [3, 1],
      )
      assert.deepStrictEqual(
        yield* numbers({ data_dir: "parts", data_files: { test: "part-[12].jsonl" } }),
        [1, 2],
      )
      assert.deepStrictEqual(
        yield* numbers({ data_files: [{ split: "test", path: "parts/part-2.jsonl" }] }),
        [2],
      )
      assert.deepStrictEqual(yield* numbers({ data_files: "parts/part-2.jsonl" }, "train"), [2])
      assert.deepStrictEqual(yield* numbers({ data_dir: "parts" }, "train"), [1, 2, 3])
      write("told/test-part.jsonl", '{"n": 7}\n')
      write("told/dev.jsonl", '{"n": 8}\n')
      assert.deepStrictEqual(yield* numbers({ data_dir: "told" }), [7])
      assert.deepStrictEqual(yield* numbers({ data_dir: "told" }, "validation"), [8])
      const nowhere = yield* Effect.flip(numbers({ data_files: "parts/part-2.jsonl" }))
      assert.match(
        nowhere.message,
        /t\.yaml: dataset_kwargs\.data_files: names no file for the split test; there are files for train$/,
      )
    }),
  )

  it.effect.each([
    [
      "json",
      { sep: ";" },
      "dataset_kwargs.sep: unknown to the loader json; known are data_files, data_dir, field",
    ],
    [
      "csv",
      { delimeter: ";" },
      "dataset_kwargs.delimeter: unknown to the loader csv; did you mean delimiter?",
    ],
    ["csv", { sep: "::" }, 'dataset_kwargs.sep: expected one character, got "::"'],
    [
      "text",
      { sample_by: "word" },
      'dataset_kwargs.sample_by: expected line, paragraph or document, got "word"',
    ],
  ] as const)("are not read otherwise than asked: %s %o", ([loader, kwargs, problem]) =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("rows.data", "")
      const file = write("t.yaml", over(loader, { data_files: { test: "rows.data" }, ...kwargs }))
      const error = yield* Effect.flip(rowsOf(file))
      assert.strictEqual(error.message, `${file}: ${problem}`)
    }),
  )
})
