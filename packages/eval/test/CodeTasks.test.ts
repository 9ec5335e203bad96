/** Tasks that are scored by running programs, from their files to the score. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { fileURLToPath } from "node:url"
import { join } from "node:path"
import * as Sandbox from "../src/code/Sandbox.ts"
import * as Evaluation from "../src/Evaluation.ts"
import * as Items from "../src/requests/Items.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Task from "../src/tasks/Task.ts"
import { hasShared, shared } from "./fixtures.ts"

const builtIn = Effect.fnUntraced(function* (name: string) {
  const { tasks } = yield* Catalog.select([name], [])
  const [found] = tasks
  return yield* Task.make(found!.file, found!.config, { allowCode: true, numFewshot: 0 })
})

/** The score of some responses to some documents. */
const pass = Effect.fnUntraced(function* (
  name: string,
  rows: ReadonlyArray<Record<string, unknown>>,
  responses: ReadonlyArray<string>,
) {
  const task = yield* builtIn(name)
  const items = yield* Effect.forEach(rows, (row, id) => Items.make(task, id, row, []))
  const answers = responses.map((response) => [response])
  const passed = yield* Evaluation.verdicts(task, items, answers, yield* Sandbox.make)
  return Evaluation.score(task, items, answers, 0, passed).scores.map(({ metric, value }) => [metric, value])
})

const increment = {
  prompt: "def f(x):\n",
  entry_point: "f",
  test: "def check(candidate):\n    assert candidate(1) == 2",
}

describe("tasks of programs", () => {
  it.effect("score a function's body with its head, by HumanEval's tests", () =>
    Effect.gen(function* () {
      for (const name of ["humaneval", "humaneval_xl_python_chinese"]) {
        const scores = yield* pass(name, [increment, increment], ["    return x + 1", "    return x"])
        assert.deepStrictEqual(scores, [["pass@1", 0.5]])
      }
    }),
  )

  it.effect(
    "score a JavaScript function by tests that compare with lodash's isEqual, which is provided",
    () =>
      Effect.gen(function* () {
        const row = {
          prompt: "function pairs(n) {\n",
          test: `const _ = require("lodash")
if (!_.isEqual(pairs(1), [[1, "a"], [NaN, null], [{ x: 0 }, true]])) throw "Error at 1th assert statement"
if (_.isEqual(pairs(2), [[2, "a"], [NaN, null], [{ x: 0, y: 1 }, true]])) throw "Error at 2th assert statement"`,
        }
        const bodies = [
          `  return [[n, "a"], [NaN, null], [{ x: -0 }, true]]\n}`,
          `  return [[n, "a"], [NaN, undefined], [{ x: 0 }, true]]\n}`,
          `  return [[n, "a"], [NaN, null], [{ x: 0 }, true]].slice(0, 2)\n}`,
          `  return require("lodash").map([n])\n}`,
        ]
        const rows = bodies.map(() => row)
        const scores = yield* pass("humaneval_xl_javascript_english", rows, bodies)
        assert.deepStrictEqual(scores, [["pass@1", 0.25]])
      }),
  )

  it.effect.skipIf(!hasShared)(
    "score solutions written by hand for HumanEval-XL's JavaScript (needs ../shared)",
    () =>
      Effect.gen(function* () {
        const body = (sign: string) =>
          `  let sum = 0\n  for (const amount of operations) {\n    sum += amount\n    if (sum ${sign} 0) return true\n  }\n  return false\n}\n`
        const task = yield* builtIn("humaneval_xl_javascript_chinese")
        const data = fileURLToPath(new URL("data/", shared))
        const { documents, items } = yield* Evaluation.prepare(task, { data, limit: 1 })
        assert.strictEqual(documents, 80)
        const row = items[0]?.row ?? {}
        const scores = yield* pass("humaneval_xl_javascript_chinese", [row, row], [body("<"), body(">")])
        assert.deepStrictEqual(scores, [["pass@1", 0.5]])
      }),
  )

  it.effect("score a whole program by MBPP's assertions", () =>
    Effect.gen(function* () {
      const row = {
        text: "Add one.",
        test_list: ["assert f(1) == 2", "assert f(2) == 3", "assert f(-1) == 0"],
      }
      const scores = yield* pass("mbpp", [row, row], ["def f(x):\n  return x + 1\n", "f = abs\n"])
      assert.deepStrictEqual(scores, [["pass@1", 0.5]])
    }),
  )

  it.effect.each([
    ["unsafe_code: true", false, /unsafe_code: .*allow it with --allow-code/],
    ["unsafe_code: false", true, /unsafe_code: pass@k runs programs/],
    [
      "unsafe_code: true\n    language: rust",
      true,
      /metric_list\.pass@1: language: expected python or javascript/,
    ],
    [
      "unsafe_code: true\n    provides: lodash",
      true,
      /pass@1: provides: expected lodash, for language: javascript/,
    ],
    ["unsafe_code: true\n    after: x", true, /metric_list\.pass@1: does not take after/],
  ] as const)("are refused in one line: %s", ([line, allowCode, says]) =>
    Effect.gen(function* () {
      const directory = mkdtempSync(join(tmpdir(), "hila-task-"))
      const [flag = "", argument] = line.split("\n")
      const text = [
        "task: small",
        flag,
        "test_split: test",
        "doc_to_text: '{{prompt}}'",
        "doc_to_target: '{{test}}'",
        "metric_list:",
        "  - metric: pass@1",
        ...(argument === undefined ? [] : [argument]),
      ].join("\n")
      const path = join(directory, "small.yaml")
      writeFileSync(path, `${text}\n`)
      const error = yield* Effect.flip(
        Effect.flatMap(Catalog.select([path], []), ({ tasks: [found] }) =>
          Task.make(found!.file, found!.config, { allowCode }),
        ),
      )
      rmSync(directory, { recursive: true })
      assert.match(error.message, says)
      assert.notInclude(error.message, "\n")
    }),
  )
})
