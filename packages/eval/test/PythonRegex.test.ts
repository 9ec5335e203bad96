import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import * as PythonRegex from "../src/metrics/PythonRegex.ts"

interface Found {
  readonly texts: ReadonlyArray<string>
  readonly rows: ReadonlyArray<
    readonly [pattern: string, matches: ReadonlyArray<ReadonlyArray<ReadonlyArray<string>>> | null]
  >
}

/** What Python's `re.findall` finds: tools/oracles/python_regex.py. */
const { rows, texts }: Found = JSON.parse(
  readFileSync(new URL("fixtures/python-regex.json", import.meta.url), "utf8"),
)

/** What is no mistake in Python, and refused here since JavaScript would match something else. */
const untranslated = /may take no part|not translated|no group that is translated/

describe("PythonRegex", () => {
  // The case python-regex, and every feature of Python's patterns beside it.
  it("finds what Python finds, or says that a pattern is not translated", () => {
    const refused: Array<string> = []
    for (const [pattern, matches] of rows) {
      const made = PythonRegex.make(pattern)
      if (Result.isFailure(made)) {
        if (matches !== null) {
          assert.match(made.failure, untranslated, pattern)
          refused.push(pattern)
        }
        continue
      }
      assert.isNotNull(matches, pattern)
      for (const [i, text] of texts.entries()) {
        assert.deepStrictEqual(
          PythonRegex.findAll(made.success, text),
          matches?.[i],
          `${pattern} on ${JSON.stringify(text)}`,
        )
      }
    }
    assert.isBelow(refused.length, rows.length / 10, refused.join("\n"))
    assert.isAbove(rows.length, 200)
  })

  it.each([
    ["(?s).*#### ", "step\nstep\n#### 7", "7"],
    ["\\.$", "7.\n", "7\n"],
    ["\\.\\Z", "7.\n", "7.\n"],
    ["\\Aa", "aa", "a"],
    ["(?P<sign>-)(?i:X)", "-x", ""],
    ["[$]", "$5", "5"],
    ["|a", "bab", "bb"],
  ])("removes %s from %j as Python's re.sub does", (pattern, text, rest) => {
    assert.strictEqual(PythonRegex.substitute(Result.getOrThrow(PythonRegex.make(pattern)), text, ""), rest)
  })

  it.each([
    ["(", "a bracket is not closed"],
    ["a(?(1)b)", "conditions are not translated"],
    ["((a)|b)+", "a group that may take no part is repeated: what it then holds is not translated"],
    ["(a)?\\1", "group 1 may take no part, and a reference to it is not translated"],
    ["(".repeat(300), "it is nested more than 200 deep"],
  ])("says of %s what is wrong with it", (pattern, problem) => {
    assert.deepStrictEqual(PythonRegex.make(pattern), Result.fail(problem))
  })
})
