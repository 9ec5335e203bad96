import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Prompts from "../src/Prompts.ts"
import * as Split from "../src/Split.ts"
import * as Verifier from "../src/Verifier.ts"

const withFile = <A, E>(name: string, text: string, use: (path: string) => Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "hila-prompts-"))),
    (directory) =>
      Effect.suspend(() => {
        writeFileSync(join(directory, name), text)
        return use(join(directory, name))
      }),
    (directory) => Effect.sync(() => rmSync(directory, { recursive: true })),
  )

describe("Prompts", () => {
  it.effect("reads JSON lines, CSV and text", () =>
    Effect.gen(function* () {
      const columns = { domain: "math", prompt: "q", answer: "a" }
      const expected = [
        { domain: "math", prompt: 'say "hi",\nplease', answer: "hi" },
        { domain: "math", prompt: "1+1", answer: "2" },
      ]
      const jsonl = expected
        .map(({ answer, prompt }) => JSON.stringify({ q: prompt, a: answer, more: 1 }))
        .join("\n\n")
      assert.deepStrictEqual(
        yield* withFile("p.jsonl", jsonl, (path) => Prompts.read(path, columns)),
        expected,
      )
      const csv = 'a,q,more\nhi,"say ""hi"",\nplease",1\n2,1+1,\n'
      assert.deepStrictEqual(yield* withFile("p.csv", csv, (path) => Prompts.read(path, columns)), expected)
      const text = yield* withFile("p.txt", "one\r\n\ntwo\n", (path) => Prompts.read(path, { domain: "d" }))
      assert.deepStrictEqual(
        text.map(({ prompt }) => prompt),
        ["one", "two"],
      )
    }),
  )

  it.effect("fills texts with columns, takes numbers as texts and lists as lines", () =>
    Effect.gen(function* () {
      const row = { question: "6*7?", n: 42, tests: ["assert f() == 42", "assert f() > 0"], entry: "f" }
      const options = { domain: "d", prompt: "Q: {{question}}\nA:", answer: "{{ tests }}\ncheck({{entry}})" }
      const [found] = yield* withFile("p.jsonl", JSON.stringify(row), (path) => Prompts.read(path, options))
      assert.deepStrictEqual(found, {
        domain: "d",
        prompt: "Q: 6*7?\nA:",
        answer: "assert f() == 42\nassert f() > 0\ncheck(f)",
      })
      const numbers = { domain: "d", prompt: "question", answer: "n" }
      const [number] = yield* withFile("p.jsonl", JSON.stringify(row), (path) => Prompts.read(path, numbers))
      assert.strictEqual(number?.answer, "42")
      const gone = { domain: "d", prompt: "{{question}} {{more}}" }
      const error = yield* Effect.flip(
        withFile("p.jsonl", JSON.stringify(row), (path) => Prompts.read(path, gone)),
      )
      assert.match(error.message, /line 1 has no text in "more"; it has question, n, tests, entry$/)
    }),
  )

  it.effect("reads parquet, as data sets of the Hub have it", () =>
    Effect.gen(function* () {
      // Two rows of `text` and `n`: 1+1 and 2, 2+3 and 5; plain encoding, no compression.
      const bytes = Buffer.from(
        "UEFSMRUAFRwVHCwVBBUAFQYVBgAAAwAAADErMQMAAAAyKzMVABUgFSAsFQQVABUGFQYAAAIAAAAAAAAABQAAAAAAAAAVBBk8SAZzY2hlbWEVBAAVDCUAGAR0ZXh0JQAAFQQlABgBbgAWBBkcGSwmCBwVDBkVABkYBHRleHQVABYEFj4WPiYIAAAmRhwVBBkVABkYAW4VABYEFkIWQiZGAAAWiAEWBAAAZAAAAFBBUjE=",
        "base64",
      )
      const directory = mkdtempSync(join(tmpdir(), "hila-prompts-"))
      writeFileSync(join(directory, "p.parquet"), bytes)
      const path = join(directory, "p.parquet")
      const rows = yield* Prompts.read(path, { domain: "math", prompt: "text", answer: "n" })
      const error = yield* Effect.flip(Prompts.read(path, { domain: "math" }))
      rmSync(directory, { recursive: true })
      assert.deepStrictEqual(rows, [
        { domain: "math", prompt: "1+1", answer: "2" },
        { domain: "math", prompt: "2+3", answer: "5" },
      ])
      assert.match(error.message, /p\.parquet: there is no column "prompt"; there are text, n$/)
    }),
  )

  it.effect.each([
    [
      "a missing field",
      "p.jsonl",
      '{"prompt":"a"}\n{"question":"b"}\n',
      /line 2 has no text in "prompt"; it has question$/,
    ],
    ["a line that is no JSON", "p.jsonl", "{}x\n", /line 1 is not JSON$/],
    ["a missing column", "p.csv", "question\na\n", /row 1 has no text in "prompt"; it has question$/],
    [
      "another kind of file",
      "p.yaml",
      "x",
      /unknown kind of file; give one of \.jsonl, \.csv, \.txt, \.parquet$/,
    ],
    ["a parquet file that is none", "p.parquet", "xxxxxxxxxxxx", /p\.parquet: cannot be read as parquet: /],
  ] as const)("answers %s with its place", ([, name, text, says]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(withFile(name, text, (path) => Prompts.read(path, { domain: "d" })))
      assert.match(error.message, says)
      assert.strictEqual(error.blame, "input")
    }),
  )
})

describe("Split", () => {
  const questions = (domain: string, count: number) =>
    Array.from({ length: count }, (_, index) => ({ domain, prompt: `${domain} ${index % 40}`, answer: "" }))
  const all = [...questions("math", 50), ...questions("zh", 40)]
  const sizes = { score: 10, tune: 12, report: 14 }

  it.effect("gives disjoint, balanced parts that do not depend on order or repeats", () =>
    Effect.gen(function* () {
      const parts = yield* Effect.forEach(Object.keys(sizes), (name) => Split.part(all, sizes, name, 7))
      assert.deepStrictEqual(
        parts.map((part) => part.length),
        [20, 24, 28],
      )
      const prompts = parts.flat().map(({ prompt }) => prompt)
      assert.strictEqual(new Set(prompts).size, prompts.length)
      const again = yield* Split.part(all.toReversed(), sizes, "tune", 7)
      assert.sameMembers(
        again.map(({ prompt }) => prompt),
        (parts[1] ?? []).map(({ prompt }) => prompt),
      )
      const other = yield* Split.part(all, sizes, "tune", 8)
      assert.notDeepEqual(other, parts[1])
    }),
  )

  it.effect("keeps a prompt that domains share out of all parts but one", () =>
    Effect.gen(function* () {
      const shared = [...questions("math", 40), ...questions("math", 40).map((q) => ({ ...q, domain: "zh" }))]
      const own = questions("zh", 40)
      const parts = yield* Effect.forEach(Object.keys(sizes), (name) =>
        Split.part([...own, ...shared], sizes, name, 7),
      )
      const prompts = parts.flat().map(({ prompt }) => prompt)
      assert.strictEqual(new Set(prompts).size, prompts.length)
      assert.deepStrictEqual(
        parts.map((part) => part.filter(({ domain }) => domain === "zh").length),
        [10, 12, 14],
      )
    }),
  )

  it.effect("says what is missing where a domain has too few prompts", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Split.part(questions("math", 30), sizes, "tune", 0))
      assert.strictEqual(
        error.message,
        "split: math has 30 distinct prompts, the parts take 36 (score 10, tune 12, report 14); ask for less or give more",
      )
    }),
  )
})

describe("Verifier", () => {
  const question = { domain: "d", prompt: "p", answer: "42" }

  it("accepts by key, by pattern and by script", () => {
    assert.isTrue(Verifier.of({ by: "answer" })(question, " 42\n"))
    assert.isFalse(Verifier.of({ by: "answer" })(question, " 421\n"))
    assert.isTrue(Verifier.of({ by: "regex", pattern: "^\\s*\\d+$" })(question, " 7"))
    assert.isFalse(Verifier.of({ by: "regex", pattern: "^\\s*\\d+$" })(question, "seven"))
    assert.isTrue(Verifier.of({ by: "script", script: "Han" })(question, "答案是 42。"))
    assert.isFalse(Verifier.of({ by: "script", script: "Han" })(question, "the answer is 四十二"))
    assert.isTrue(Verifier.of({ by: "script", script: "Han", share: 0.1 })(question, "the answer is 四十二"))
    assert.isFalse(Verifier.of({ by: "script", script: "Latin" })(question, "42"))
  })

  it("accepts by what is extracted of response and key", () => {
    const sum = { ...question, answer: "6 * 7 = 42\n#### 42" }
    const last = Verifier.of({ by: "answer", extract: "-?\\d+" })
    assert.isTrue(last(sum, "Six times 7 is 42."))
    assert.isFalse(last(sum, "42 is 6 times 8."))
    assert.isFalse(last(sum, "forty-two"))
    assert.isTrue(Verifier.of({ by: "answer", extract: "(\\d+)\\.?$" })(question, "It is 42."))
    assert.match(Verifier.problem({ by: "answer", extract: "(" }) ?? "", /Invalid regular expression/)
  })

  it("accepts by language", () => {
    const german = Verifier.of({ by: "language", language: "de" })
    assert.isTrue(german(question, "Das Ergebnis ist zweiundvierzig, und es ist nicht schwer."))
    assert.isFalse(german(question, "The result is forty-two, and it is not hard."))
    assert.isFalse(german(question, "42"))
  })

  it("tells a pattern that is none", () => {
    assert.match(Verifier.problem({ by: "regex", pattern: "(" }) ?? "", /Invalid regular expression/)
    assert.isUndefined(Verifier.problem({ by: "regex", pattern: "a" }))
  })
})
