import { assert, layer } from "@effect/vitest"
import { type Event, Events, Run, Stage, Store } from "@hila/core"
import { Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stages from "../src/stages.ts"
import { checkpointPath } from "./fixtures.ts"
import { bench, jsonl, taskText } from "./support.ts"

const lines = `doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: ["1", "2"]
doc_to_target: gold`

layer(Layer.mergeAll(Runtime.layerWith({ workers: 1, threads: 1 }), Stage.layerDetached))(
  "tasks in a pipeline",
  (it) => {
    it.effect("evaluates only a task that is added, and none whose items stay as they were", () =>
      Effect.gen(function* () {
        const { path, write } = yield* bench
        const rows = [
          { question: "1+1", gold: 1 },
          { question: "2-1", gold: 0 },
        ]
        write("data/rows.jsonl", jsonl(rows))
        write("tasks/first.yaml", taskText(lines))
        write("tasks/second.yaml", `include: first.yaml\ntask: second\ndescription: "Sums. "`)
        const model = Checkpoint.source(checkpointPath("math"))
        const table = (names: ReadonlyArray<string>) => {
          const inputs = { tasks: Stages.files(path("tasks")), data: [Stages.files(path("data"))] }
          const scores = names.map((task) =>
            Stages.taskScores({ model, items: Stages.taskItems(inputs, { task }) }, { replicates: 10 }),
          )
          return Stages.taskTable({ scores })
        }
        const run = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
          const ran: Array<string> = []
          const emit = (event: Event) =>
            Effect.sync(() => {
              if (event._tag === "Published") ran.push(event.node)
            })
          const { table: made } = yield* Run.outputs({ table: table(names) }).pipe(
            Effect.provideService(Events, { emit }),
            Effect.provide(Store.layer(path("store"))),
          )
          return { made, ran: ran.filter((node) => node.startsWith("task-scores")).length }
        })
        const first = yield* run(["first"])
        assert.strictEqual(first.ran, 1)
        const both = yield* run(["first", "second"])
        assert.strictEqual(both.ran, 1)
        assert.deepStrictEqual(both.made.tasks[0], first.made.tasks[0])
        assert.deepStrictEqual(
          both.made.tasks.map(({ asked, task }) => [task, asked]),
          [
            ["small", 2],
            ["second", 2],
          ],
        )
        // A task of programs runs only where that is allowed.
        write("data/code.jsonl", jsonl([{ prompt: "x = 1\n", test: "assert x == 1" }]))
        write(
          "tasks/programs.yaml",
          taskText(`doc_to_text: "{{prompt}}"
doc_to_target: "{{test}}"
unsafe_code: true
repeats: 2
filter_list: [{ name: none, filter: [{ function: take_first_k, k: 2 }] }]
metric_list: [{ metric: pass@k, k: [1, 2], before: prompt }]
generation_kwargs: { until: ["\\n"], max_gen_toks: 1, temperature: 1.0 }`)
            .replace("small", "programs")
            .replace("rows.jsonl", "code.jsonl")
            .replace("multiple_choice", "generate_until"),
        )
        const inputs = { tasks: Stages.files(path("tasks")), data: [Stages.files(path("data"))] }
        const items = Stages.taskItems(inputs, { task: "programs" })
        const scored = (allowCode: boolean) =>
          Effect.provide(
            Run.outputs({ scores: Stages.taskScores({ model, items }, { replicates: 0, allowCode }) }),
            Store.layer(path("store")),
          )
        const { scores } = yield* scored(true)
        assert.deepStrictEqual(
          scores.scores.map(({ metric }) => metric),
          ["pass@1", "pass@2"],
        )
        assert.include(String(yield* Effect.flip(scored(false))), "allow it with --allow-code")
        write("tasks/third.yaml", taskText(lines).replace("small", "third"))
        write("data/more.jsonl", "")
        assert.strictEqual((yield* run(["first", "second"])).ran, 0)
      }),
    )
  },
)
