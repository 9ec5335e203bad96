import { assert, describe, it, layer } from "@effect/vitest"
import { Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import * as Compare from "../src/results/Compare.ts"
import * as Report from "../src/results/Report.ts"
import { dirname } from "node:path"
import * as Files from "../src/results/Files.ts"
import * as Suite from "../src/Suite.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import { bench, jsonl, respondent, taskText } from "./support.ts"

const lines = `doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: ["1", "2", "3", "4"]
doc_to_target: gold
metric_list:
  - metric: acc
  - metric: f1`

const sums = Array.from({ length: 90 }, (_, i) => ({ question: `${i}+${i % 7}`, gold: i % 4 }))

const inputs = Effect.gen(function* () {
  const files = yield* bench
  files.write("rows.jsonl", jsonl(sums))
  const first = files.write("first.yaml", taskText(lines))
  const second = files.write("second.yaml", taskText(lines).replace("small", "other").replace("Q:", "Frage:"))
  return { ...files, first, second, output: files.path("out") }
})

/** A run that stops itself after some answers, and those it asked the model for. */
const run = Effect.fnUntraced(function* (
  names: ReadonlyArray<string>,
  output: string,
  options: Partial<Suite.SuiteOptions> = {},
  stopAfter = Number.POSITIVE_INFINITY,
) {
  const { model } = yield* respondent("math")
  const asked: Array<number> = []
  const counted = {
    ...model,
    logLikelihoods: (rows: Parameters<typeof model.logLikelihoods>[0]) => {
      asked.push(rows.length)
      return model.logLikelihoods(rows)
    },
  }
  const selection = yield* Catalog.select(names)
  const result = yield* Effect.result(
    Suite.run(counted, "math", selection, { output, replicates: 100, ...options }, (event) =>
      event._tag === "Progress" && event.done >= stopAfter ? Effect.die("killed") : Effect.void,
    ).pipe(Effect.catchDefect(() => Effect.fail("killed" as const))),
  )
  return { result, asked: asked.reduce((sum, n) => sum + n, 0) }
})

const samplesIn = (directory: string) =>
  readdirSync(directory)
    .filter((name) => name.startsWith("samples_"))
    .map((name) => readFileSync(`${directory}/${name}`, "utf8"))

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Suite", (it) => {
  it.effect("stopped in the middle of a task and started again, asks nothing twice", () =>
    Effect.gen(function* () {
      const { first, output } = yield* inputs
      const undisturbed = yield* run([first], `${output}-whole`)
      assert.strictEqual(undisturbed.asked, 360)
      const stopped = yield* run([first], output, {}, 256)
      assert.strictEqual(stopped.asked, 256)
      assert.strictEqual(stopped.result._tag, "Failure")
      const resumed = yield* run([first], output)
      assert.strictEqual(resumed.asked, 104)
      assert.deepStrictEqual(samplesIn(`${output}/math`), samplesIn(`${output}-whole/math`))
      const again = yield* run([first], output)
      assert.strictEqual(again.asked, 0)
    }),
  )

  it.effect("asks again for the one answer whose line was cut off, and then has it", () =>
    Effect.gen(function* () {
      const { first, output } = yield* inputs
      yield* run([first], output, { limit: 5 })
      const journal = `${output}/math/journal.jsonl`
      truncateSync(journal, readFileSync(journal).length - 20)
      assert.strictEqual((yield* run([first], output, { limit: 5 })).asked, 1)
      assert.strictEqual((yield* run([first], output, { limit: 5 })).asked, 0)
    }),
  )

  it.effect("asks equal requests once, whatever task they come from", () =>
    Effect.gen(function* () {
      const { first, output, write } = yield* inputs
      const twin = write("twin.yaml", taskText(lines).replace("small", "twin"))
      assert.strictEqual((yield* run([first, twin], output, { limit: 4 })).asked, 16)
    }),
  )

  it.effect("reads all tasks and their data before it asks anything", () =>
    Effect.gen(function* () {
      const { first, output, write } = yield* inputs
      const broken = write(
        "broken.yaml",
        taskText(lines.replace("{{question}}", "{{quest}}")).replace("small", "broken"),
      )
      const { asked, result } = yield* run([first, broken], output)
      assert.strictEqual(asked, 0)
      const message = result._tag === "Failure" ? (result.failure as Error).message : ""
      assert.match(message, /broken\.yaml: doc_to_text: the template uses "quest"/)
    }),
  )

  it.effect("takes the head, or a seeded sample with equal shares of the answers, and records it", () =>
    Effect.gen(function* () {
      const { first, output } = yield* inputs
      const idsOf = (options: Partial<Suite.SuiteOptions>) =>
        Effect.map(run([first], output, options), ({ result }) => {
          if (result._tag === "Failure") throw new Error("failed")
          const { config } = result.success.results
          return (config as { readonly sample_ids: Readonly<Record<string, ReadonlyArray<number>>> | null })
            .sample_ids?.["small"]
        })
      assert.isUndefined(yield* idsOf({ limit: 3 }))
      const ids = (yield* idsOf({ sample: 12, seed: 7 })) ?? []
      const perGold = Map.groupBy(ids, (id) => id % 4)
      assert.deepStrictEqual(
        [...perGold.values()].map((own) => own.length),
        [3, 3, 3, 3],
      )
      assert.deepStrictEqual(yield* idsOf({ sample: 12, seed: 7 }), ids)
      assert.notDeepEqual(yield* idsOf({ sample: 12, seed: 8 }), ids)
      const { result } = yield* run([first], output, { sample: 12, limit: 3 })
      assert.strictEqual(result._tag, "Failure")
    }),
  )

  it.effect("writes the harness's files, prints its scores, and compares two runs document by document", () =>
    Effect.gen(function* () {
      const { first, output } = yield* inputs
      const whole = yield* run([first], output)
      if (whole.result._tag === "Failure") throw new Error("failed")
      const { path, results } = whole.result.success
      const written: unknown = JSON.parse(readFileSync(path, "utf8"))
      assert.deepStrictEqual(written, JSON.parse(JSON.stringify(results)))
      const [sample = ""] = samplesIn(`${output}/math`)[0]?.split("\n") ?? []
      assert.hasAllKeys(JSON.parse(sample), [
        ..."doc_id,doc,target,arguments,resps,filtered_resps,filter,metrics".split(","),
        ..."doc_hash,prompt_hash,target_hash,acc,f1".split(","),
      ])
      const {
        doc,
        doc_hash,
        filtered_resps,
        prompt_hash,
        arguments: given,
        resps,
        target,
        target_hash,
      } = JSON.parse(sample)
      const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
      // Answers and targets as texts, documents hashed as Python's json.dumps lays them out.
      assert.strictEqual(target, "0")
      assert.match(resps[0][0][0], /^-\d+\.\d+$/)
      assert.match(resps[0][0][1], /^(?:True|False)$/)
      assert.deepStrictEqual(filtered_resps[0], resps[0][0])
      const layout = `{\n  "question": "${doc.question}",\n  "gold": ${doc.gold}\n}`
      assert.strictEqual(doc_hash, sha256(layout))
      assert.strictEqual(prompt_hash, sha256(given.gen_args_0.arg_0))
      assert.strictEqual(target_hash, sha256("0"))
      assert.match(
        Report.render(results, "csv"),
        /^task,version,filter,n-shot,n,metric,,value,±\nsmall,Yaml,none,0,90,acc,↑,/,
      )
      assert.match(Report.render(results, "markdown"), /\| small \| Yaml \| none \| 0 \| 90 \| f1 \| ↑ \|/)
      const same = yield* Compare.files(path, path)
      assert.deepStrictEqual(
        same.rows.map(({ difference, metric, n, pValue }) => [metric, n, difference, pValue]),
        [
          ["acc", 90, 0, 1],
          ["f1", 90, 0, 1],
        ],
      )
      const other = path.replace(/results_.*/, "results_other.json")
      writeFileSync(other, readFileSync(path))
      const changed = samplesIn(`${output}/math`)[0]?.replace(/"doc_hash": "./, '"doc_hash": "x') ?? ""
      writeFileSync(path.replace(/results_.*/, "samples_small_other.jsonl"), changed)
      const error = yield* Effect.flip(Compare.files(path, other))
      assert.match(error.message, /small: document 0 is another one/)
    }),
  )

  it.effect("compares what two runs share, and says what they do not", () =>
    Effect.gen(function* () {
      const { first, output, second, write } = yield* inputs
      const pathOf = (names: ReadonlyArray<string>, options: Partial<Suite.SuiteOptions>) =>
        Effect.map(run(names, `${output}-${names.length}`, options), ({ result }) => {
          if (result._tag === "Failure") throw new Error("failed")
          return result.success.path
        })
      const a = yield* pathOf([first, second], { limit: 12 })
      const changed = taskText(lines).replace("Q:", "Q2:").replace("metric: f1", "metric: mcc")
      const b = yield* pathOf([write("changed.yaml", changed)], { limit: 8 })
      const { notes, rows } = yield* Compare.files(a, b)
      assert.deepStrictEqual(
        rows.map(({ metric, n, task }) => [task, metric, n]),
        [["small", "acc", 8]],
      )
      assert.deepStrictEqual(notes, [
        "only A has other",
        "small: only one run has f1,none; mcc,none",
        "small: 4 documents of A are left out, the other run has not asked them",
        "small: 8 documents were asked with other prompts (shots, template or task file differ)",
      ])
      assert.include(Compare.render({ first: "a", second: "b", notes, rows }), "only A has other")
      const missing = yield* Effect.flip(Compare.files(a, `${output}/results_no.json`))
      assert.match(missing.message, /results_no\.json: there is no such file$/)
      const directory = yield* Effect.flip(Files.readResults(dirname(a)))
      assert.match(directory.message, /: is a directory: name the results_<date>\.json in it$/)
    }),
  )

  it.effect("keeps files in its directory whatever a task is called, and says where it cannot write", () =>
    Effect.gen(function* () {
      const { output, write } = yield* inputs
      const odd = write("odd.yaml", taskText(lines).replace("small", "../odd one"))
      const { result } = yield* run([odd], output, { limit: 2 })
      assert.strictEqual(result._tag, "Success")
      assert.deepStrictEqual(
        readdirSync(`${output}/math`)
          .map((name) => name.replace(/_2.*/, ""))
          .toSorted(),
        ["journal.jsonl", "results", "samples_odd__one"],
      )
      if (result._tag === "Success")
        assert.lengthOf((yield* Compare.files(result.success.path, result.success.path)).rows, 2)
      const blocked = yield* run([odd], write("file", ""), { limit: 2 })
      assert.strictEqual(blocked.asked, 0)
      assert.match(
        blocked.result._tag === "Failure" ? (blocked.result.failure as Error).message : "",
        /journal\.jsonl: cannot be written: .*; choose another place for results$/,
      )
      const short = yield* run([odd], output, { limit: 2, maxLength: 1 })
      assert.match(
        short.result._tag === "Failure" ? (short.result.failure as Error).message : "",
        /^max length: expected a number of tokens of at least 2, got 1$/,
      )
    }),
  )
})

describe("Suite.identity", () => {
  it.effect("changes with the weights", () =>
    Effect.gen(function* () {
      const { write } = yield* bench
      const files = {
        "config.json": write("config.json", "{}"),
        "a.safetensors": write("a.safetensors", "1"),
      }
      const before = yield* Suite.identity({ files })
      write("a.safetensors", "2")
      assert.notStrictEqual(yield* Suite.identity({ files }), before)
    }),
  )
})
