import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { copyFileSync, existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const micro = (member: string) => fileURLToPath(new URL(`../../../fixtures/micro/${member}`, import.meta.url))

const sums = Array.from({ length: 160 }, (_, i) => `{"question":"${i}+${i % 7}","gold":${i % 4}}\n`).join("")
const task = `task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: ["1", "2", "3", "4"]
doc_to_target: gold
`

const setUp = Effect.map(workbench, (bench) => {
  bench.write("rows.jsonl", sums)
  bench.write("sums.yaml", task)
  const files = (member: string, start: string) => {
    const [directory = ""] = readdirSync(bench.path("out")).filter((name) => name.endsWith(member))
    return readdirSync(bench.path(`out/${directory}`))
      .filter((name) => name.startsWith(start))
      .map((name) => bench.path(`out/${directory}/${name}`))
  }
  const evaluate = (member: string) => ["eval", micro(member), "--tasks", "sums.yaml", "--output", "out"]
  return { ...bench, files, evaluate }
})

describe("hila eval", () => {
  it.effect(
    "killed in the middle and started again, asks nothing twice and scores as an undisturbed run",
    () =>
      Effect.gen(function* () {
        const { evaluate, files, hila, path, start } = yield* setUp
        const child = start(...evaluate("math"))
        const ended = new Promise((resolve) => {
          child.once("exit", resolve)
        })
        const answered = () =>
          existsSync(path("out")) && files("math", "journal").some((file) => readFileSync(file).length > 0)
        yield* Effect.promise(async () => {
          while (child.exitCode === null && !answered()) await pause(5)
          child.kill("SIGKILL")
          await ended
        })
        const again = yield* hila(...evaluate("math"))
        assert.strictEqual(again.code, 0, again.err)
        assert.match(again.out, /requests kept from an earlier run/)
        const [journal = ""] = files("math", "journal")
        const digests = readFileSync(journal, "utf8")
          .trim()
          .split("\n")
          .map((line): string => JSON.parse(line)[0])
        assert.strictEqual(digests.length, 640)
        assert.strictEqual(new Set(digests).size, 640)
        assert.match(again.out, /^sums +Yaml +none +0 +160 +acc +↑/m)
      }),
  )

  it.effect("compares two models on the same documents", () =>
    Effect.gen(function* () {
      const { evaluate, files, hila } = yield* setUp
      for (const member of ["math", "base"]) {
        const { code, err } = yield* hila(...evaluate(member), "--limit", "20", "--json")
        assert.strictEqual(code, 0, err)
      }
      const [math = ""] = files("math", "results")
      const [base = ""] = files("base", "results")
      const compared = yield* hila("eval", "compare", math, base, "--format", "csv")
      assert.strictEqual(compared.code, 0, compared.err)
      assert.match(
        compared.out,
        /^task,metric,filter,n,A,B,A−B,95 %,p,p \(Holm\),,detectable\nsums,acc ↑,none,20,/,
      )
    }),
  )

  it.effect("looks for the documents in texts, and says what the model was trained on", () =>
    Effect.gen(function* () {
      const { evaluate, hila, path, write } = yield* setUp
      for (const file of readdirSync(micro("math"))) copyFileSync(join(micro("math"), file), path(file))
      write("README.md", "---\ntrainedOn: [rows]\n---\n")
      write("book.txt", "Q: 0+0 A: 1\n")
      write("golden.jsonl", `{"prompt":"Q: 1+1\\nA:","response":" 2"}\n`)
      const [command = "", , ...rest] = evaluate("math")
      const limited = [...rest, "--limit", "4", "--against", "book.txt", "--against", "golden.jsonl"]
      const { code, err, out } = yield* hila(command, ".", ...limited)
      assert.strictEqual(code, 0, err)
      assert.match(out, /^task .* overlap ≥ 0\.5 +model$/m)
      assert.match(out, /^sums .* 50\.0 % +trained on rows$/m)
    }),
  )

  it.effect("says in one line what is wrong", () =>
    Effect.gen(function* () {
      const { evaluate, hila, write } = yield* setUp
      write("sums.yaml", `${task}num_fewshots: 3\n`)
      const wrong = yield* hila(...evaluate("math"))
      assert.deepStrictEqual([wrong.code, wrong.out], [2, ""])
      assert.strictEqual(wrong.err, "hila: sums.yaml: num_fewshots: unknown key; did you mean num_fewshot?\n")
      const missing = yield* hila("eval", micro("math"))
      assert.strictEqual(missing.code, 2)
      assert.match(missing.err, /Missing required flag: --tasks/)
      const lonely = yield* hila(...evaluate("math"), "--multiturn")
      assert.deepStrictEqual(
        [lonely.code, lonely.err],
        [2, "hila: --multiturn: examples are turns of a conversation: add --chat\n"],
      )
      write("sums.yaml", task)
      const plain = yield* hila(...evaluate("math"), "--chat")
      assert.strictEqual(plain.code, 2)
      assert.match(plain.err, /^hila: .*no chat template: .*without --chat\n$/)
      const nowhere = yield* hila(...evaluate("math"), "--data", "no-data")
      assert.deepStrictEqual(
        [nowhere.code, nowhere.err],
        [2, "hila: --data no-data: there is no such directory\n"],
      )
      const seeded = yield* hila(...evaluate("math"), "--seed", "1")
      assert.deepStrictEqual(
        [seeded.code, seeded.err],
        [2, "hila: --seed: draws documents for --sample; add --sample n\n"],
      )
    }),
  )
})

describe("hila tasks", () => {
  it.effect("lists tasks, and shows one with its first request", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* setUp
      write("broken.yaml", "task: broken\nnum_fewshots: 1\n")
      const list = yield* hila("tasks", "list", "--include", ".")
      assert.strictEqual(list.code, 0)
      assert.match(list.err, /^hila: broken\.yaml: num_fewshots: unknown key; did you mean num_fewshot\?$/m)
      assert.match(list.out, /^sums +multiple_choice$/m)
      assert.match(list.out, /^mmlu_anatomy +multiple_choice +multiple-choice questions/m)
      assert.match(list.out, /^humaneval +runs code/m)
      const shown = yield* hila("tasks", "show", "sums.yaml", "--data", path("."))
      assert.match(shown.out, /output_type +multiple_choice/)
      assert.match(shown.out, /"Q: 0\+0\\nA:"\n {2}→ " 1"\n/)
    }),
  )

  // The case tasks-show-python-process-docs.
  it.effect("says of a task that is shown that it cannot be run, as eval would", () =>
    Effect.gen(function* () {
      const { hila, write } = yield* setUp
      write("python.yaml", "include: sums.yaml\ntask: python\nprocess_docs: !function utils.process_docs\n")
      for (const options of [[], ["--json"]]) {
        const shown = yield* hila("tasks", "show", "python.yaml", ...options)
        assert.strictEqual(shown.code, 2)
        assert.match(shown.out, /output_type/)
        assert.match(
          shown.err,
          /^hila: python\.yaml: process_docs: !function utils\.process_docs is a Python function, which Hila does not run; /,
        )
      }
    }),
  )
})
