import { assert, describe, it, layer } from "@effect/vitest"
import { Run, Source, Stage, Store } from "@hila/core"
import { CausalModel, Checkpoint, Example, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import * as Contamination from "../src/contamination/Contamination.ts"
import * as Texts from "../src/contamination/Texts.ts"
import * as TrainedOn from "../src/contamination/TrainedOn.ts"
import * as ContaminationStage from "../src/ContaminationStage.ts"
import * as Evaluation from "../src/Evaluation.ts"
import * as Report from "../src/results/Report.ts"
import * as Stages from "../src/stages.ts"
import * as Suite from "../src/Suite.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import { checkpointPath } from "./fixtures.ts"
import { bench, jsonl, taskOf, taskText } from "./support.ts"

const lines = `doc_to_text: "Q: {{question}}\\nA:"
doc_to_choice: ["red", "blue"]
doc_to_target: gold`

const words = (start: number) => Array.from({ length: 20 }, (_, i) => `word${start + i}`).join(" ")
const rows = [
  { question: words(0), gold: 0 },
  { question: words(100), gold: 1 },
  { question: words(200), gold: 0 },
  { question: words(300), gold: 1 },
]

const inputs = Effect.gen(function* () {
  const files = yield* bench
  files.write("sums/rows.jsonl", jsonl(rows))
  const task = files.write("task.yaml", taskText(lines).replace("rows.jsonl", "sums/rows.jsonl"))
  const book = files.write("book.txt", `Once\nQ: ${words(0).toUpperCase()}.\nA: red\n`)
  const golden = files.write(
    "golden.jsonl",
    jsonl([{ prompt: `Q: ${words(100)}\nA:`, response: " red\n", tokens: [1, 2], promptLength: 1 }]),
  )
  return { ...files, task, book, golden }
})

describe("an item's text", () => {
  it.effect("is the document's own prompt with the right answer, without description and shots", () =>
    Effect.gen(function* () {
      const { write } = yield* inputs
      const file = write(
        "shots.yaml",
        `include: task.yaml\nfewshot_split: test\nnum_fewshot: 2\ndescription: "Colours. "`,
      )
      const generating = write(
        "generate.yaml",
        "include: task.yaml\noutput_type: generate_until\nmetric_list: [{metric: exact_match}]",
      )
      const textsOf = (path: string) =>
        Effect.gen(function* () {
          const { items } = yield* Evaluation.prepare(yield* taskOf(path), { limit: 2 })
          return items.map(Contamination.textOf)
        })
      const expected = [`Q: ${words(0)}\nA: red`, `Q: ${words(100)}\nA: blue`]
      assert.deepStrictEqual(yield* textsOf(file), expected)
      assert.deepStrictEqual(
        (yield* textsOf(generating)).map((text) => text.replace("A:\n", "A: ")),
        expected,
      )
    }),
  )
})

describe("texts", () => {
  it.effect("are a whole plain text, and all strings of each row", () =>
    Effect.gen(function* () {
      const { book, golden, write } = yield* inputs
      assert.deepStrictEqual(yield* Texts.read(book), [readFileSync(book, "utf8").trimEnd()])
      assert.deepStrictEqual(yield* Texts.read(golden), [`Q: ${words(100)}\nA:\n red\n`])
      const stored = write("set.json", JSON.stringify({ examples: [{ prompt: "a", n: [1, "b"] }] }))
      assert.match((yield* Texts.read(stored)).join(), /a\nb/)
      const error = yield* Effect.flip(Texts.read("none.pdf"))
      assert.match(error.message, /^none\.pdf: expected a .*\.txt/)
    }),
  )
})

describe("what a model was trained on", () => {
  it.effect("is read from its card, whatever else that says", () =>
    Effect.gen(function* () {
      const { write } = yield* inputs
      const read = (card: string) => TrainedOn.read({ "README.md": write("README.md", card) })
      assert.deepStrictEqual(yield* TrainedOn.read({}), [])
      assert.deepStrictEqual(yield* read("# A model\ntrainedOn: [x]\n"), [])
      assert.deepStrictEqual(yield* read("---\ntags: [: {\n---\n"), [])
      assert.deepStrictEqual(yield* read("---\ntrainedOn: [pubmedqa, mbpp]\n---\n# A model\n"), [
        "pubmedqa",
        "mbpp",
      ])
      const error = yield* Effect.flip(read("---\ntrainedOn: pubmedqa\n---\n"))
      assert.match(error.message, /README\.md: trainedOn: expected a list of names .*, got "pubmedqa"$/)
      const broken = yield* Effect.flip(read("---\ntrainedOn: [a\n---\n"))
      assert.match(broken.message, /README\.md: its front matter is no YAML/)
    }),
  )

  it.effect("marks the built-in tasks of these sets and no others", () =>
    Effect.gen(function* () {
      const { tasks } = yield* Catalog.select(["pubmedqa", "mbpp", "arc_easy", "mmlu_anatomy", "gsm8k"])
      const known = ["PubMedQA", "mbpp", "allenai/ai2_arc", "gsm8k", "anatomy"]
      assert.deepStrictEqual(
        tasks.map(({ config }) => [config.task, ...TrainedOn.ofTask(known, config)]),
        [
          ["pubmedqa", "PubMedQA"],
          ["mbpp", "mbpp"],
          ["arc_easy", "allenai/ai2_arc"],
          ["mmlu_anatomy"],
          ["gsm8k", "gsm8k"],
        ],
      )
    }),
  )
})

layer(Stage.layerDetached)("the stage", (it) => {
  it.effect("finds the items in directories of texts and in golden data, and says so in a line", () =>
    Effect.gen(function* () {
      const files = yield* inputs
      files.write("texts/deep/book.txt", `${words(0)} A: red`)
      const example = { prompt: `Q: ${words(300)}\nA:`, response: " blue\n", tokens: [1, 2], promptLength: 1 }
      files.write("tasks/small.yaml", taskText(lines))
      const items = Stages.taskItems(
        { tasks: Stages.files(files.path("tasks")), data: [Stages.files(files.path("sums"))] },
        { task: "small" },
      )
      const golden = [Source.value(Example.artifact, [example])]
      const against = [Stages.files(files.path("texts"))]
      const nodes = {
        ten: Stages.contamination({ items, against, golden }, { n: 10 }),
        standard: Stages.contamination({ items, against: [], golden }),
      }
      const { standard, ten } = yield* Run.outputs(nodes).pipe(
        Effect.provide(Store.layer(files.path("store"))),
      )
      assert.deepStrictEqual(
        ten.items.map(({ grams, id, share }) => [id, grams, share]),
        [
          [0, 14, 13 / 14],
          [1, 14, 0],
          [2, 14, 0],
          [3, 14, 1],
        ],
      )
      assert.deepStrictEqual([standard.n, standard.items[0]?.grams, standard.items[3]?.share], [13, 11, 1])
      assert.strictEqual(
        ContaminationStage.artifact.summary(ten),
        "small: 2 of 4 items (50.0 %) with an overlap of at least 0.5 in 10-grams",
      )
    }),
  )
})

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("a suite", (it) => {
  const run = Effect.fnUntraced(function* (
    files: { readonly task: string; readonly path: (name: string) => string },
    card: Readonly<Record<string, string>>,
    against: ReadonlyArray<string>,
  ) {
    const checkpoint = yield* Checkpoint.open(checkpointPath("math"))
    const model = yield* CausalModel.open(checkpoint)
    return yield* Suite.run(
      { ...model, checkpoint: { ...checkpoint, files: { ...checkpoint.files, ...card } } },
      "math",
      yield* Catalog.select([files.task]),
      { output: files.path("out"), replicates: 10, against },
    )
  })

  it.effect("says how many documents stand in texts, and which", () =>
    Effect.gen(function* () {
      const files = yield* inputs
      const { results } = yield* run(files, {}, [files.book, files.golden])
      assert.deepStrictEqual(results.contamination, {
        small: {
          items: 4,
          overlapping: 2,
          share: 0.5,
          threshold: 0.5,
          n: 13,
          against: [files.book, files.golden],
        },
      })
      assert.isUndefined(results.trained_on)
      assert.match(Report.render(results, "csv"), /,±,overlap ≥ 0\.5\nsmall,.*,50\.0 %\n/)
      const [samples = ""] = readdirSync(files.path("out/math")).filter((name) => name.startsWith("samples_"))
      const shares = readFileSync(files.path(`out/math/${samples}`), "utf8")
        .trim()
        .split("\n")
        .map((line): number => JSON.parse(line).overlap)
      // 22 words and the answer: the golden answer to the second is another one, so the last of its 11 n-grams is not there.
      assert.deepStrictEqual(shares, [1, 10 / 11, 0, 0])
    }),
  )

  it.effect(
    "prints what the model was trained on beside the scores, and neither where nothing is known",
    () =>
      Effect.gen(function* () {
        const files = yield* inputs
        const card = files.write("card/README.md", "---\ntrainedOn: [sums, other]\n---\n")
        const { results } = yield* run(files, { "README.md": card }, [])
        assert.deepStrictEqual(results.trained_on, { small: ["sums"] })
        assert.isUndefined(results.contamination)
        assert.match(Report.render(results, "csv"), /,±,model\nsmall,.*,trained on sums\n/)
        const plain = yield* run(files, {}, [])
        assert.match(Report.render(plain.results, "csv"), /,±\nsmall/)
      }),
  )

  it.effect("reads all texts before the model is asked anything", () =>
    Effect.gen(function* () {
      const files = yield* inputs
      const error = yield* Effect.flip(run(files, {}, [files.path("missing.txt")]))
      assert.match(error.message, /missing\.txt: cannot be read: ENOENT/)
    }),
  )
})
