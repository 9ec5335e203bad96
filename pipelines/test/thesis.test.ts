/** The thesis's comparison from end to end: models of a Hub on this machine, prompts and data of tasks written by hand. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdir, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
// oxlint-disable-next-line no-restricted-imports -- the Hub that the model package is tested with; packages do not export it
import { commit, mockHub } from "../../packages/model/test/support/mock-hub.ts"
import { hila, temporaryStore } from "./command.ts"

const pipeline = fileURLToPath(new URL("../thesis.ts", import.meta.url))
const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/micro/${name}`, import.meta.url))
const names = ["math", "code", "lang"]

const words = ["abc", "hgf", "dead", "bad", "cab", "face", "gab", "ebb"]
/** Sixteen prompts: four to score on, four to tune on, eight that nothing reads here. */
const prompts: Readonly<Record<string, ReadonlyArray<string>>> = {
  math: Array.from({ length: 16 }, (_, i) => `${7 * i + 3}+${5 * i + 11}`),
  code: ["rev", "sort"].flatMap((name) => words.map((word) => `${name}('${word}')`)),
  lang: ["de", "fr"].flatMap((name) => Array.from({ length: 8 }, (_, i) => `${name} ${9 * i + 4}`)),
}

const choices = { opa: "iron", opb: "zinc", opc: "salt", opd: "lead" }
/** Local copies in the layouts of the data sets. */
const data: Readonly<Record<string, ReadonlyArray<object>>> = {
  "medqa/medqa_4options_test.jsonl": [
    {
      question: "Which organ pumps blood?",
      options: { A: "heart", B: "skin", C: "ear", D: "eye" },
      answer_idx: "A",
    },
    {
      question: "Which organ hears?",
      options: { A: "heart", B: "skin", C: "ear", D: "eye" },
      answer_idx: "C",
    },
  ],
  "medmcqa/validation.jsonl": [
    { question: "Red cells carry", ...choices, cop: 0 },
    { question: "Too much of it harms the brain", ...choices, cop: 3 },
  ],
  "financeqa/test.jsonl": [
    { context: "Revenue 12, cost 5.", question: "What is the profit?", answer: "7" },
    { context: "", question: "12+30", answer: "42" },
  ],
  "humaneval-xl/python/English.jsonl": [
    {
      task_id: "python/0",
      prompt: 'def one() -> int:\n    """ Gives 1. """\n',
      entry_point: "one",
      test: "\ndef check(candidate):\n    assert candidate() == 1\n",
    },
  ],
}

const write = (directory: string, files: Readonly<Record<string, ReadonlyArray<object>>>) =>
  Effect.promise(async () => {
    for (const [name, rows] of Object.entries(files)) {
      const path = join(directory, name)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""))
    }
  })

describe("pipelines/thesis.ts", () => {
  it.effect(
    "merges models of the Hub, pinned to their commit, and has the merges answer the tasks",
    () =>
      Effect.gen(function* () {
        const directory = yield* temporaryStore
        const hub = yield* mockHub(
          Object.fromEntries(["base", ...names].map((name) => [`me/${name}`, fixture(name)])),
        )
        const asked = Object.entries(prompts).map(([name, texts]) => [
          `${name}.jsonl`,
          texts.map((text) => ({ prompt: `Q: ${text}\nA:` })),
        ])
        yield* write(join(directory, "prompts"), Object.fromEntries(asked))
        yield* write(join(directory, "data"), data)
        const set = {
          base: `me/base@${commit}`,
          experts: JSON.stringify(Object.fromEntries(names.map((name) => [name, `me/${name}`]))),
          prompts: join(directory, "prompts"),
          data: join(directory, "data"),
          tasks: "medqa_4options,medmcqa,humaneval_xl_python_english,financeqa",
          importance: "pathIntegrated",
          densities: "[0.5]",
          golden: "4",
          budget: "4",
        }
        const options = Object.entries(set).flatMap(([name, value]) => ["--set", `${name}=${value}`])
        const run = (...more: ReadonlyArray<string>) =>
          hila(["run", pipeline, "--store", join(directory, "store"), ...options, ...more], () => false, {
            HF_ENDPOINT: hub.endpoint,
            HF_HUB_CACHE: join(directory, "cache"),
          })

        const refused = yield* run()
        assert.strictEqual(refused.code, 2)
        assert.match(
          refused.error,
          /^hila: [^\n]*humaneval_xl_python_english runs programs[^\n]*allowCode=true[^\n]*\n$/,
        )
        assert.deepStrictEqual(hub.log, [])

        const outcome = yield* run("--set", "allowCode=true")
        assert.strictEqual(outcome.error, "")
        assert.strictEqual(outcome.code, 0)
        assert.isTrue(hub.log.some((line) => line.includes(`/me/math/resolve/${commit}/model.safetensors`)))
        const report = outcome.out.slice(outcome.out.indexOf("\nreport\n"))
        for (const column of ["medqa_4options acc, n = 2", "pass@1, n = 1", "numeric_match, n = 2"])
          assert.include(report, column)
        for (const row of [
          "base",
          ...names,
          "average",
          "task arithmetic",
          "HILA",
          "Sens-Merging",
          "HILA regression",
        ])
          assert.match(report, new RegExp(`^\\s*\\| ${row} \\| \\d\\.\\d{3} `, "m"))
      }),
    900_000,
  )
})
