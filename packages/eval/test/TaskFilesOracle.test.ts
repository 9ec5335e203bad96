/** Task files with the structure of the harness's own: five or more of each kind ask what the harness asks. */
import { assert, layer } from "@effect/vitest"
import { ChatTemplate, LanguageModel } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Evaluation from "../src/Evaluation.ts"
import type { Request } from "../src/requests/Request.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import * as Task from "../src/tasks/Task.ts"
import { bench } from "./support.ts"

interface Run {
  readonly conversation: { readonly multiturn: boolean } | null
  readonly tasks: ReadonlyArray<{
    readonly task: string
    readonly requests: ReadonlyArray<ReadonlyArray<string>>
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
  readonly cases: ReadonlyArray<Case>
} = JSON.parse(readFileSync(new URL("fixtures/task-files.json", import.meta.url), "utf8"))

const partsOf = (request: Request): ReadonlyArray<string> => {
  if (request._tag === "Rolling") return [request.text]
  return request._tag === "LogLikelihood" ? [request.context, request.continuation] : [request.context]
}

layer(LanguageModel.layer)("a task file", (it) => {
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
})
