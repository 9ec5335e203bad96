import { assert, describe, it } from "@effect/vitest"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { beforeAll } from "vitest"
import type { TaskResult } from "../src/Evaluation.ts"
import type { Answer } from "../src/requests/Request.ts"
import type { Entry, Results } from "../src/results/Results.ts"
import * as Suite from "../src/Suite.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import { hasShared, shared } from "./fixtures.ts"

const oracles = fileURLToPath(new URL("oracles/evaluation/", shared))
const names = hasShared
  ? readdirSync(join(oracles, "tasks")).map((name) => name.replace(/\.yaml$/, ""))
  : ["none"]

interface ExpectedSample {
  readonly doc_id: number
  readonly filter: string
  readonly target: unknown
  readonly arguments: ReadonlyArray<ReadonlyArray<unknown>>
  readonly resps: ReadonlyArray<ReadonlyArray<Answer>>
  readonly filtered_resps: ReadonlyArray<Answer>
  readonly [metric: string]: unknown
}

interface Expected {
  readonly results: Readonly<Record<string, Entry>>
  readonly samples: Readonly<Record<string, ReadonlyArray<ExpectedSample>>>
  readonly "n-shot": Readonly<Record<string, number>>
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>
}

const expected = (name: string): Expected =>
  JSON.parse(readFileSync(join(oracles, `expected-${name}.json`), "utf8"))

/** Metrics that count, and have to be equal; all others may differ by 1e-3 of their value. */
const counted = /^(acc|acc_norm|acc_bytes|acc_mutual_info|exact_match|f1|mcc),/

const close = (got: unknown, wanted: unknown, tolerance: number, what: string) => {
  if (typeof wanted !== "number") return assert.deepStrictEqual(got, wanted, what)
  assert.isAtMost(Math.abs(Number(got) - wanted), tolerance, `${what}: ${String(got)} for ${wanted}`)
}

/** Checks the scores of a task or group, key by key. */
const checkScores = (name: string, got: Entry | undefined, wanted: Entry) => {
  for (const [key, value] of Object.entries(wanted)) {
    const tolerance = counted.test(key) ? 1e-12 : 1e-3 * Math.abs(Number(value))
    close(got?.[key], value, tolerance, `${name} ${key}`)
  }
}

const checkAnswer = (got: unknown, wanted: Answer | undefined, what: string) => {
  if (!Array.isArray(wanted)) return close(got, wanted, 1e-3, what)
  const [sum, greedy] = Array.isArray(got) ? got : []
  close(sum, wanted[0], 1e-3, what)
  assert.strictEqual(greedy, wanted[1], what)
}

const checkSamples = (
  name: string,
  result: TaskResult | undefined,
  wanted: ReadonlyArray<ExpectedSample>,
) => {
  const samples = result?.samples ?? []
  assert.strictEqual(samples.length, wanted.length, name)
  for (const sample of samples) {
    const what = `${name} document ${sample.item.id}`
    const own = wanted.find(({ doc_id, filter }) => doc_id === sample.item.id && filter === sample.filter)
    const prompts = sample.item.requests.map((request) => {
      if (request._tag === "LogLikelihood") return [request.context, request.continuation]
      return [request._tag === "Rolling" ? request.text : request.context]
    })
    const generated = result?.task.outputType === "generate_until"
    assert.deepStrictEqual(
      prompts,
      own?.arguments.map((given) => (generated ? given.slice(0, 1) : given)),
      what,
    )
    assert.deepStrictEqual(sample.item.target, own?.target, what)
    sample.answers.forEach((answer, i) => checkAnswer(answer, own?.resps[i]?.[0], what))
    sample.filtered.forEach((answer, i) => checkAnswer(answer, own?.filtered_resps[i], what))
    for (const [metric, value] of Object.entries(sample.values)) {
      if (typeof value === "number") close(value, own?.[metric], 1e-3, `${what} ${metric}`)
    }
  }
}

describe.skipIf(!hasShared)("the reference harness's numbers (needs ../shared)", () => {
  let results: Results
  const finished = new Map<string, TaskResult>()

  beforeAll(async () => {
    const output = mkdtempSync(join(tmpdir(), "hila-eval-"))
    const suite = Effect.gen(function* () {
      const checkpoint = yield* Checkpoint.open(fileURLToPath(new URL("models/stories260K-hf", shared)))
      const model = yield* CausalModel.open(checkpoint)
      const paths = names.map((name) => join(oracles, "tasks", `${name}.yaml`))
      const selection = yield* Catalog.select(paths)
      return yield* Suite.run(
        model,
        "stories260K-hf",
        selection,
        { output, data: oracles, replicates: 1000, maxLength: 512 },
        (event) =>
          Effect.sync(() => {
            if (event._tag === "Finished") finished.set(event.result.task.name, event.result)
          }),
      )
    })
    results = (
      await Effect.runPromise(suite.pipe(Effect.scoped, Effect.provide(Runtime.layer))).finally(() =>
        rmSync(output, { recursive: true }),
      )
    ).results
  }, 120_000)

  it.each(names)("%s: prompts, answers, scores and errors", (name) => {
    const wanted = expected(name)
    for (const [task, entry] of Object.entries(wanted.results))
      checkScores(task, results.results[task], entry)
    for (const [task, samples] of Object.entries(wanted.samples))
      checkSamples(task, finished.get(task), samples)
    for (const [task, shots] of Object.entries(wanted["n-shot"])) {
      assert.strictEqual(results["n-shot"][task], shots)
    }
    for (const [task, better] of Object.entries(wanted.higher_is_better)) {
      assert.deepStrictEqual(results.higher_is_better[task], better)
    }
  })
})
