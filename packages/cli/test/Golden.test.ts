import { assert, describe, it } from "@effect/vitest"
import * as Sandbox from "@hila/eval/code/Sandbox"
import { Effect } from "effect"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const math = fileURLToPath(new URL("../../../fixtures/micro/math", import.meta.url))

/** Why the sandbox cannot be had here; "" where it can. */
const impossible = await Effect.runPromise(
  Effect.match(Sandbox.make, { onFailure: ({ message }) => message, onSuccess: () => "" }),
)

/** A prompt and its answer are JavaScript (labels); so the tests read what was written. */
const adds = String.raw`const [, a, b, sum] = /Q: (\d+)\+(\d+)\nA: (\d+)/.exec(require("node:fs").readFileSync(__filename, "utf8"))
if (+a + +b !== +sum) throw new Error("wrong")`

const rows = [
  { sum: "87+45", key: 132, tests: ["// right", adds] },
  { sum: "39+83", key: 122, tests: [adds] },
  { sum: "94-11", key: 84, tests: ["throw new Error('never right')"] },
]
  .map((row) => `${JSON.stringify(row)}\n`)
  .join("")

const asking = ["--prompt", "Q: {{sum}}\nA:", "--stop", "\n", "--max-tokens", "32"]

// A busy machine takes long to start an interpreter.
const testing = "--answer tests --tests javascript --shape continuation --seconds 60 --allow-code".split(" ")

describe("hila golden", () => {
  it.live("keeps an expert's right answers as examples, and what it made", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("sums.jsonl", rows)
      const golden = (...more: ReadonlyArray<string>) =>
        hila("golden", math, "--prompts", "sums.jsonl", ...asking, "--output", "golden.jsonl", ...more)
      const made = yield* golden("--answer", "key", "--verify", "answer")
      assert.strictEqual(made.err, "")
      assert.match(made.out, /\ngolden\.jsonl: 2 of 3 answers kept \(1 rejected\), \d+ response tokens\n$/)
      const lines = readFileSync(path("golden.jsonl"), "utf8").trim().split("\n")
      const examples: ReadonlyArray<object> = lines.map((line) => JSON.parse(line))
      assert.deepInclude(examples[0], { prompt: "Q: 87+45\nA:", response: " 132\n" })
      assert.deepStrictEqual(Object.keys(examples[0] ?? {}), ["prompt", "response", "tokens", "promptLength"])

      const again = yield* golden("--answer", "key", "--verify", "answer", "--json")
      const report: unknown = JSON.parse(again.out)
      assert.deepInclude(report, { output: "golden.jsonl", asked: 3, kept: 2, rejected: 1 })
    }).pipe(Effect.scoped),
  )

  it.live.skipIf(impossible !== "")(`judges programs by the tests of their rows ${impossible}`.trim(), () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("sums.jsonl", rows)
      const made = yield* hila(
        "golden",
        math,
        "--prompts",
        "sums.jsonl",
        ...asking,
        ...testing,
        "--output",
        "golden.jsonl",
      )
      assert.strictEqual(made.err, "")
      assert.match(made.out, /unit-tests +[\d.]+ s +2 of 3 accepted\n/)
      assert.match(made.out, /2 of 3 answers kept \(1 rejected\)/)
      assert.strictEqual(readFileSync(path("golden.jsonl"), "utf8").trim().split("\n").length, 2)
    }).pipe(Effect.scoped),
  )

  it.live.each([
    [
      ["--answer", "tests", "--tests", "python"],
      /^hila: --tests runs programs the expert writes; allow it with --allow-code, and they run in a sandbox\n$/,
    ],
    [
      ["--verify", "language:xx"],
      /^hila: --verify language:xx: expected answer or answer:<pattern>, regex:<pattern>, [^\n]+\n$/,
    ],
    [
      ["--prompts", "hf://datasets/sums.jsonl"],
      /^hila: source datasets\/sums\.jsonl: not the name of a file: expected hf:[^\n]+\n$/,
    ],
  ] as const)("refuses %j in one line", ([flags, says]) =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("sums.jsonl", rows)
      const prompts = flags.some((flag) => flag === "--prompts") ? [] : ["--prompts", "sums.jsonl"]
      const refused = yield* hila("golden", math, ...prompts, ...asking, ...flags, "--output", "golden.jsonl")
      assert.strictEqual(refused.code, 2, refused.err)
      assert.match(refused.err, says)
      assert.isFalse(existsSync(path("golden.jsonl")))
    }).pipe(Effect.scoped),
  )
})
