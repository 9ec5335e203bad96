/** Literals of Python in rendered templates, and the choices and answers that tasks make of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Evaluation from "../src/Evaluation.ts"
import { python } from "../src/internal/python.ts"
import * as PythonLiteral from "../src/internal/pythonLiteral.ts"
import { bench, jsonl, taskOf, taskText } from "./support.ts"

// Made by tools/oracles/python_literals.py.
const recorded: ReadonlyArray<{ readonly text: string; readonly read: string | null }> = JSON.parse(
  readFileSync(new URL("fixtures/python-literals.json", import.meta.url), "utf8"),
)

describe("a literal of Python", () => {
  it.each(recorded.map(({ read, text }) => [JSON.stringify(text), text, read] as const))(
    "is read as Python reads it, or is none: %s",
    (_, text, read) => {
      const found = PythonLiteral.read(text)
      assert.strictEqual(found === undefined ? null : python(found.value, true), read)
    },
  )

  it("does not lie deeper in others than Python goes", () => {
    assert.isUndefined(PythonLiteral.read("[".repeat(100_000)))
  })

  const asked = (lines: string, row: Readonly<Record<string, unknown>>) =>
    Effect.gen(function* () {
      const { write } = yield* bench
      write("rows.jsonl", jsonl([row]))
      const { items } = yield* Evaluation.prepare(yield* taskOf(write("t.yaml", taskText(lines))))
      return { choices: items[0]?.choices, golds: items[0]?.golds }
    })

  // The case choices-as-python-list.
  it.effect("is what choices are read from, whatever quotes they have", () =>
    Effect.gen(function* () {
      const quoted = `doc_to_text: "{{q}}"\ndoc_to_target: label\ndoc_to_choice: "['yes', '''{{q}} or no''']"`
      assert.deepStrictEqual(yield* asked(quoted, { q: "a", label: 1 }), {
        choices: ["yes", "a or no"],
        golds: [1],
      })
      const columns = 'doc_to_text: "{{q}}"\ndoc_to_target: label\ndoc_to_choice: "{{[a, b, c]}}"'
      assert.deepStrictEqual(yield* asked(columns, { q: "", a: "it's", b: 'a "b"\n', c: 2.5, label: 0 }), {
        choices: ["it's", 'a "b"\n', "2.5"],
        golds: [0],
      })
      const tuple = "doc_to_text: \"{{q}}\"\ndoc_to_target: label\ndoc_to_choice: \"('{{q}}', 'b')\""
      assert.deepStrictEqual((yield* asked(tuple, { q: "a", label: 0 })).choices, ["a", "b"])
    }),
  )

  it.effect("is what several answers are read from; a column is never read so", () =>
    Effect.gen(function* () {
      const lines = 'doc_to_text: "{{q}}"\ndoc_to_choice: ["[0]", "b"]\n'
      assert.deepStrictEqual((yield* asked(`${lines}doc_to_target: "[0, 1]"`, { q: "" })).golds, [0, 1])
      assert.deepStrictEqual((yield* asked(`${lines}doc_to_target: a`, { q: "", a: "[0]" })).golds, [0])
      assert.deepStrictEqual((yield* asked(`${lines}doc_to_target: a`, { q: "", a: "b" })).golds, [1])
    }),
  )
})
