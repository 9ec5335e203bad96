/** Task files with the structure of the harness's own: five or more of each kind ask what the harness asks. */
import { assert, layer } from "@effect/vitest"
import { at, entry } from "@hila/core/Lookup"
import { ChatTemplate, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { python } from "../src/internal/python.ts"
import * as Evaluation from "../src/Evaluation.ts"
import type { Request } from "../src/requests/Request.ts"
import * as Results from "../src/results/Results.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Generation from "../src/tasks/Generation.ts"
import * as Task from "../src/tasks/Task.ts"
import { bench } from "./support.ts"

interface Run {
  readonly conversation: { readonly multiturn: boolean } | null
  readonly tasks: ReadonlyArray<{
    readonly task: string
    readonly requests: ReadonlyArray<ReadonlyArray<string>>
    /** Of tasks of generated texts: what ends them, and what `said` is worth, filter by filter. */
    readonly until?: ReadonlyArray<string> | string
    /** The options of their generation as the harness completes them, and the most tokens that it reads there. */
    readonly settings?: Readonly<Record<string, unknown>>
    readonly most?: number
    readonly filtered?: Readonly<Record<string, ReadonlyArray<unknown>>>
    readonly scores?: Readonly<Record<string, ReadonlyArray<Readonly<Record<string, number>>>>>
  }>
}
interface Case {
  readonly kind: string
  readonly files: Readonly<Record<string, string>>
  readonly runs: ReadonlyArray<Run>
}

// Made by tools/oracles/task_files.py.
const recorded: {
  readonly template: string
  readonly data: Readonly<Record<string, string>>
  /** Texts as if a model had answered them, one for each document. */
  readonly said: ReadonlyArray<string>
  readonly cases: ReadonlyArray<Case>
} = JSON.parse(readFileSync(new URL("fixtures/task-files.json", import.meta.url), "utf8"))

const partsOf = (request: Request): ReadonlyArray<string> => {
  if (request._tag === "Rolling") return [request.text]
  return request._tag === "LogLikelihood" ? [request.context, request.continuation] : [request.context]
}

layer(Runtime.layer)("a task file", (it) => {
  it.effect.each(recorded.cases.map((one, i) => [`${one.kind} ${i}`, one] as const))(
    "asks what the harness asks: %s",
    ([, { files, runs }]) =>
      Effect.gen(function* () {
        const { directory, write } = yield* bench
        for (const [name, text] of Object.entries({ ...recorded.data, ...files })) write(name, text)
        const place = {
          "chat_template.jinja": write("chat/chat_template.jinja", recorded.template),
          "tokenizer_config.json": write("chat/tokenizer_config.json", '{"bos_token": "<s>"}'),
        }
        const chat = yield* ChatTemplate.open({ files: place })
        for (const { conversation, tasks } of runs) {
          const { tasks: entries } = yield* Catalog.select(["t"], [directory])
          const prompting = conversation === null ? {} : { chat, system: "Be brief.", ...conversation }
          const asked = yield* Effect.forEach(entries, ({ config, file, name }) =>
            Effect.gen(function* () {
              const task = yield* Task.make(file, config)
              const { items } = yield* Evaluation.prepare(task, { data: directory, prompting })
              const requests = items.flatMap((item) =>
                (item.requests[0]?._tag === "Generate" ? item.requests.slice(0, 1) : item.requests).map(
                  partsOf,
                ),
              )
              return { task: name, requests }
            }),
          )
          const wanted = tasks.map(({ requests, task }) => ({ task, requests }))
          const order = (a: { readonly task: string }, b: { readonly task: string }) =>
            a.task < b.task ? -1 : 1
          assert.deepStrictEqual(asked.toSorted(order), wanted.toSorted(order))
        }
      }).pipe(Effect.scoped),
  )

  const generating = recorded.cases.flatMap(({ files, kind, runs }, i) => {
    const tasks = runs[0]?.tasks.filter(({ filtered }) => filtered !== undefined) ?? []
    return tasks.map((wanted) => [`${kind} ${i} ${wanted.task}`, files, wanted] as const)
  })

  it.effect.each(generating)("makes of what is said what the harness makes of it: %s", ([, files, wanted]) =>
    Effect.gen(function* () {
      const { directory, write } = yield* bench
      for (const [name, text] of Object.entries({ ...recorded.data, ...files })) write(name, text)
      const { tasks } = yield* Catalog.select(["t"], [directory])
      const { config, file } = entry(new Map(tasks.map((task) => [task.name, task])), wanted.task)
      const task = yield* Task.make(file, config)
      const { items } = yield* Evaluation.prepare(task, { data: directory })
      assert.deepStrictEqual(task.generation.until, [wanted.until ?? []].flat())
      assert.strictEqual(task.generation.maxTokens, wanted.most)
      const settings: unknown = JSON.parse(JSON.stringify(Generation.completed(config)))
      assert.deepStrictEqual(settings, wanted.settings)
      const answers = items.map((item, i) =>
        item.requests.map((_, k) => at(recorded.said, (i + k) % recorded.said.length)),
      )
      const { samples } = Evaluation.score(task, items, answers, 0)
      for (const [filter, texts] of Object.entries(wanted.filtered ?? {})) {
        const own = samples.filter((sample) => sample.filter === filter)
        // What a filter maps to is a text here, as Python prints it.
        assert.deepStrictEqual(
          own.map(({ filtered }): unknown => filtered[0]),
          texts.map((kept) => (typeof kept === "object" ? kept : python(kept))),
        )
        // Samples nest as the harness nests them.
        assert.deepStrictEqual(
          own.map((sample) => Results.sample(sample, settings)["filtered_resps"]),
          texts.map((kept) => [typeof kept === "object" ? kept : python(kept)]),
        )
        const scores = wanted.scores?.[filter]
        if (scores !== undefined)
          assert.deepStrictEqual(
            own.map(({ values }) => ({ ...values })),
            [...scores],
          )
      }
    }).pipe(Effect.scoped),
  )
})
