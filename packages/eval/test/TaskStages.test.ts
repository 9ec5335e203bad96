import { assert, layer } from "@effect/vitest"
import { type Event, Events, Run, Stage, Store } from "@hila/core"
import { Checkpoint, LanguageModel } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stages from "../src/stages.ts"
import { checkpointPath } from "./fixtures.ts"
import { bench, jsonl, taskText } from "./support.ts"

const lines = `doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: ["1", "2"]
doc_to_target: gold`

layer(Layer.mergeAll(LanguageModel.layerWith({ workers: 1, threads: 1 }), Stage.layerDetached))(
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
        write("tasks/third.yaml", taskText(lines).replace("small", "third"))
        write("data/more.jsonl", "")
        assert.strictEqual((yield* run(["first", "second"])).ran, 0)
      }),
    )
  },
)
