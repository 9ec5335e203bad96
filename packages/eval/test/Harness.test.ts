/**
 * The reference harness beside Hila, on a shipped model: the harness's own task files of every output type over made-up
 * rows, as they are, with drawn shots, and in conversations, against Hila's tasks of the same names over the same rows.
 *
 * Prompts are equal byte by byte, generated texts and counted metrics equal. Log-likelihoods agree to 1e-4, and all that
 * is made of them to 1e-4 of itself: both sides compute in single precision, in other orders.
 */
import { assert, layer } from "@effect/vitest"
import { entry } from "@hila/core/Lookup"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { cpSync, readFileSync } from "node:fs"
import type { TaskResult } from "../src/Evaluation.ts"
import type { Request } from "../src/requests/Request.ts"
import * as Suite from "../src/Suite.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import { checkpointPath } from "./fixtures.ts"
import { bench, jsonl } from "./support.ts"

interface HarnessSample {
  readonly doc_id: number
  readonly filter: string
  readonly target: unknown
  readonly arguments: ReadonlyArray<ReadonlyArray<unknown>>
  readonly resps: ReadonlyArray<ReadonlyArray<unknown>>
  readonly filtered_resps: ReadonlyArray<unknown>
  readonly metrics: ReadonlyArray<string>
  readonly [metric: string]: unknown
}

interface HarnessTask {
  readonly "n-shot": number
  readonly results: Readonly<Record<string, number>>
  readonly samples: ReadonlyArray<HarnessSample>
}

// Made by tools/oracles/harness.py.
const recorded: {
  readonly template: string
  readonly system: string
  readonly mostTokens: number
  readonly data: Readonly<Record<string, Readonly<Record<string, ReadonlyArray<unknown>>>>>
  readonly runs: Readonly<Record<string, Readonly<Record<string, HarnessTask>>>>
} = JSON.parse(readFileSync(new URL("fixtures/harness.json", import.meta.url), "utf8"))

const settings: Readonly<Record<string, Partial<Suite.SuiteOptions>>> = {
  plain: {},
  shots: { numFewshot: 2 },
  turns: { numFewshot: 1, chat: true, multiturn: true, system: recorded.system },
  conversation: { numFewshot: 1, chat: true },
}

/** A built-in task over the made-up rows, with texts as short as the harness was told to write. */
const overRows = Effect.fnUntraced(function* (
  name: string,
  write: (name: string, text: string) => string,
): Effect.fn.Return<string, unknown> {
  const { tasks } = yield* Catalog.select([name])
  const [built] = tasks
  if (built === undefined) return yield* Effect.die(`${name} is no task`)
  const files = Object.entries(entry(recorded.data, name)).map(
    ([split, rows]) => [split, write(`${name}.${split}.jsonl`, jsonl(rows))] as const,
  )
  const generation = built.config.generation_kwargs
  const config = {
    include: built.file,
    task: name,
    dataset_path: "json",
    dataset_name: null,
    dataset_kwargs: { data_files: Object.fromEntries(files) },
    ...(built.config.output_type === "generate_until"
      ? { generation_kwargs: { ...generation, max_gen_toks: recorded.mostTokens } }
      : {}),
  }
  return write(`${name}.yaml`, JSON.stringify(config))
})

const asked = (request: Request): ReadonlyArray<unknown> => {
  if (request._tag === "LogLikelihood") return [request.context, request.continuation]
  return [request._tag === "Rolling" ? request.text : request.context]
}

/** Asserts that two values are equal, but for numbers, which may be apart by 1e-4 of themselves or of one. */
const alike = (got: unknown, wanted: unknown, what: string): void => {
  if (Array.isArray(wanted)) {
    assert.isArray(got, what)
    assert.lengthOf(got as ReadonlyArray<unknown>, wanted.length, what)
    wanted.forEach((part, i) => alike((got as ReadonlyArray<unknown>)[i], part, what))
  } else if (typeof wanted === "number") {
    const apart = Math.abs(Number(got) - wanted) / Math.max(1, Math.abs(wanted))
    assert.isAtMost(apart, 1e-4, `${what}: ${String(got)} for ${wanted}`)
  } else {
    assert.strictEqual(got, wanted, what)
  }
}

const checkTask = (name: string, result: TaskResult, { results, samples, "n-shot": shots }: HarnessTask) => {
  assert.strictEqual(result.task.numFewshot, shots, name)
  assert.lengthOf(result.samples, samples.length, name)
  for (const sample of result.samples) {
    const what = `${name} document ${sample.item.id} ${sample.filter}`
    const wanted = samples.find(({ doc_id: id, filter }) => id === sample.item.id && filter === sample.filter)
    if (wanted === undefined) return assert.fail(`${what}: the harness has no such sample`)
    const texts = wanted.arguments.map((parts) => parts.filter((part) => typeof part === "string"))
    assert.deepStrictEqual(sample.item.requests.map(asked), texts, what)
    assert.deepStrictEqual(sample.item.target, wanted.target, what)
    alike(
      sample.answers,
      wanted.resps.map(([first]) => first),
      what,
    )
    alike(sample.filtered, wanted.filtered_resps, what)
    for (const metric of wanted.metrics) {
      // Perplexities are made of the answers over all documents, and have no value of their own by document.
      if (typeof sample.values[metric] === "number")
        alike(sample.values[metric], wanted[metric], `${what} ${metric}`)
    }
  }
  const scores = Object.fromEntries(
    result.scores.map(({ filter, metric, value }) => [`${metric},${filter}`, value]),
  )
  assert.sameMembers(Object.keys(scores), Object.keys(results), name)
  for (const [key, value] of Object.entries(results)) alike(scores[key], value, `${name} ${key}`)
}

layer(Runtime.layer)("the reference harness beside Hila", (it) => {
  it.effect.each(Object.keys(settings))("asks, answers and scores alike: %s", (setting) =>
    Effect.gen(function* () {
      const { directory, path, write } = yield* bench
      cpSync(checkpointPath("math"), path("model"), { recursive: true })
      write("model/chat_template.jinja", recorded.template)
      const wanted = entry(recorded.runs, setting)
      const files = yield* Effect.forEach(Object.keys(wanted), (name) => overRows(name, write))
      const model = yield* CausalModel.open(yield* Checkpoint.open(path("model")))
      const finished = new Map<string, TaskResult>()
      yield* Suite.run(
        model,
        "math",
        yield* Catalog.select(files),
        { output: directory, replicates: 0, ...entry(settings, setting) },
        (event) =>
          Effect.sync(() => {
            if (event._tag === "Finished") finished.set(event.result.task.name, event.result)
          }),
      )
      for (const [name, task] of Object.entries(wanted)) checkTask(name, entry(finished, name), task)
    }).pipe(Effect.scoped),
  )
})
