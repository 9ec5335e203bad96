import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Evaluation from "../src/Evaluation.ts"
import * as PythonRandom from "../src/tasks/PythonRandom.ts"
import { bench, jsonl, taskOf, taskText } from "./support.ts"

const rows = Array.from({ length: 30 }, (_, i) => ({ q: `q${i}`, gold: i % 2, word: `w${i}` }))

const lines = `doc_to_text: "{{q}}:"
doc_to_choice: ["no", "yes"]
doc_to_target: gold
fewshot_delimiter: "; "
`

/** The contexts of a task's items. */
const contexts = (
  more: string,
  output = "multiple_choice",
  change: (text: string) => string = (text) => text,
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { write } = yield* bench
      write("rows.jsonl", jsonl(rows))
      write("train.jsonl", jsonl(rows.map(({ gold, q, word }) => ({ q: `t${q}`, gold, word }))))
      const text = taskText(lines + more)
        .replace("test: rows.jsonl", "test: rows.jsonl\n    train: train.jsonl")
        .replace("output_type: multiple_choice", `output_type: ${output}`)
      const { items } = yield* Evaluation.prepare(yield* taskOf(write("small.yaml", change(text))))
      return items.map(({ requests: [request] }) =>
        request?._tag === "Rolling" ? "" : (request?.context ?? ""),
      )
    }),
  )

const shotsOf = (context: string) => context.split("; ").slice(0, -1)

describe("few-shot prompts", () => {
  it.effect("draw as Python does, one generator for all documents of the task", () =>
    Effect.gen(function* () {
      const made = yield* contexts("num_fewshot: 2\nfewshot_split: train")
      const random = PythonRandom.make(1234)
      for (const context of made) {
        const drawn = random.sample(rows, 2).map(({ gold, q }) => `t${q}: ${gold === 0 ? "no" : "yes"}`)
        assert.deepStrictEqual(shotsOf(context), drawn)
      }
    }),
  )

  it.effect("never show a document to itself where its split is named as that of shots", () =>
    Effect.gen(function* () {
      const made = yield* contexts("num_fewshot: 2\nfewshot_split: test")
      for (const [i, context] of made.entries()) {
        assert.strictEqual(shotsOf(context).length, 2)
        assert.isFalse(shotsOf(context).some((shot) => shot.startsWith(`q${i}:`)))
      }
    }),
  )

  it.effect("show the first, chosen ones, or ones given in the file, laid out in their own way", () =>
    Effect.gen(function* () {
      const config = (text: string) =>
        contexts(`num_fewshot: 2\nfewshot_split: train\nfewshot_config:\n${text}`)
      assert.deepStrictEqual(shotsOf((yield* config("  sampler: first_n"))[9] ?? ""), ["tq0: no", "tq1: yes"])
      const chosen = yield* config(
        "  sampler: first_n\n  fewshot_indices: [3, 5]\n  doc_to_text: '<{{word}}>'",
      )
      assert.deepStrictEqual(shotsOf(chosen[0] ?? ""), ["<w3> yes", "<w5> yes"])
      const samples = "  sampler: first_n\n  samples:\n    - {q: a, gold: 0}\n    - {q: b, gold: 1}"
      // A split that is named goes before rows in the file, as in the harness.
      assert.deepStrictEqual(shotsOf((yield* config(samples))[0] ?? ""), ["tq0: no", "tq1: yes"])
      const given = yield* contexts(`num_fewshot: 2\nfewshot_config:\n${samples}`)
      assert.deepStrictEqual(shotsOf(given[0] ?? ""), ["a: no", "b: yes"])
    }),
  )

  // The cases fewshot-first-n-shows-itself, fewshot-validation-only-shows-itself and
  // fewshot-validation-only-with-training-split.
  it.effect(
    "leave the document out where the harness does: of the named test split, or where neither is named",
    () =>
      Effect.gen(function* () {
        const first = yield* contexts(
          "num_fewshot: 2\nfewshot_split: test\nfewshot_config: {sampler: first_n}",
        )
        assert.deepStrictEqual(shotsOf(first[0] ?? ""), ["q1: yes", "q2: no"])
        assert.deepStrictEqual(shotsOf(first[1] ?? ""), ["q0: no", "q2: no"])
        assert.deepStrictEqual(shotsOf(first[7] ?? ""), ["q0: no", "q1: yes"])
        const validating = (more: string) =>
          contexts(`num_fewshot: 2\n${more}`, "multiple_choice", (text) =>
            text.replace("test_split: test", "validation_split: test"),
          )
        const alone = yield* validating("")
        for (const [i, context] of alone.entries()) {
          assert.strictEqual(shotsOf(context).length, 2)
          assert.isFalse(shotsOf(context).some((shot) => shot.startsWith(`q${i}:`)))
        }
        // One more is drawn, although the training split holds other documents.
        const random = PythonRandom.make(1234)
        for (const context of yield* validating("training_split: train")) {
          const drawn = random.sample(rows, 3).map(({ gold, q }) => `t${q}: ${gold === 0 ? "no" : "yes"}`)
          assert.deepStrictEqual(shotsOf(context), drawn.slice(0, 2))
        }
      }),
  )

  it.effect("begin with the description, and with the prefix of an answer if there is one", () =>
    Effect.gen(function* () {
      const described = yield* contexts('description: "About {{word}}.\\n"')
      assert.strictEqual(described[4], "About w4.\nq4:")
      const prefixed = yield* contexts(
        'gen_prefix: "It is"\nnum_fewshot: 1\nfewshot_split: train\nfewshot_config: {sampler: first_n}',
        "generate_until",
      )
      assert.strictEqual(prefixed[4], "tq0: It is no; q4: It is")
    }),
  )
})
