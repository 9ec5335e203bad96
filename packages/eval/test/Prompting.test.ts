/** Conversations: what a chat template is given, what comes of it, and how it is encoded. */
import { assert, layer } from "@effect/vitest"
import { CausalModel, ChatTemplate, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import * as Encoding from "../src/requests/Encoding.ts"
import * as Items from "../src/requests/Items.ts"
import type { Prompting } from "../src/requests/Prompting.ts"
import * as Suite from "../src/Suite.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import { checkpointPath } from "./fixtures.ts"
import { bench, jsonl, respondent, taskOf, taskText } from "./support.ts"

const template =
  "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}[end]{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"

/** A chat template as a checkpoint's own. */
const chat = Effect.fnUntraced(function* (source = template) {
  const place = yield* bench
  const files = {
    "chat_template.jinja": place.write("chat_template.jinja", source),
    "tokenizer_config.json": place.write("tokenizer_config.json", '{"bos_token": "<s>"}'),
  }
  return yield* ChatTemplate.open({ files })
})

const rows = [
  { q: "1+1", a: "two" },
  { q: "2+2", a: "four" },
]
/** The file of a small task; what `lines` say replaces what it says by itself. */
const generating = (lines: string): string => {
  const keys = lines.split("\n").map((line) => line.split(":")[0])
  const own = `task: small
dataset_path: json
dataset_kwargs: { data_files: { test: rows.jsonl } }
test_split: test
description: "Sums."
doc_to_text: "{{q}}="
doc_to_target: "{{a}}"
num_fewshot: 1`
  const kept = own.split("\n").filter((line) => !keys.includes(line.split(":")[0]))
  return `${[...kept, lines].join("\n")}\n`
}

/** The first request of the second row, with the first as its shot. */
const contextOf = Effect.fnUntraced(function* (lines: string, prompting: Prompting) {
  const place = yield* bench
  const task = yield* taskOf(place.write("small.yaml", generating(lines)))
  const { preface, requests } = yield* Items.make(
    task,
    1,
    rows[1] ?? {},
    rows.slice(0, task.numFewshot),
    prompting,
  )
  const [request] = requests
  const context = request === undefined || request._tag === "Rolling" ? "" : request.context
  return { context, requests, preface }
})

layer(Runtime.layer)("prompting", (it) => {
  it.effect("puts instruction and description in the system turn, shots in the user's or in their own", () =>
    Effect.gen(function* () {
      const conversation = { chat: yield* chat(), system: "Be brief." }
      const one = yield* contextOf("", conversation)
      assert.strictEqual(
        one.context,
        "<s>[system]Be brief.\n\nSums.[end][user]1+1= two\n\n2+2=[end][assistant]",
      )
      assert.strictEqual(one.context.slice(one.preface), "2+2=[end][assistant]")
      const turns = yield* contextOf("", { ...conversation, multiturn: true })
      assert.strictEqual(
        turns.context,
        "<s>[system]Be brief.\n\nSums.[end][user]1+1=[end][assistant]two[end][user]2+2=[end][assistant]",
      )
      assert.strictEqual(
        (yield* contextOf("", { system: "Be brief." })).context,
        "Be brief.\n\nSums.1+1= two\n\n2+2=",
      )
    }).pipe(Effect.scoped),
  )

  it.effect("begins the assistant's turn with the prefix of answers, a template of the document", () =>
    Effect.gen(function* () {
      const lines = `gen_prefix: "{{q}} is"`
      const conversation = { chat: yield* chat(), multiturn: true }
      assert.strictEqual(
        (yield* contextOf(lines, conversation)).context,
        "<s>[system]Sums.[end][user]1+1=[end][assistant]1+1 is two[end][user]2+2=[end][assistant]2+2 is",
      )
      assert.strictEqual((yield* contextOf(lines, {})).context, "Sums.1+1= 1+1 is two\n\n2+2= 2+2 is")
    }).pipe(Effect.scoped),
  )

  // The cases gen-prefix-within-template-text, gen-prefix-chat-trailing-space, gen-prefix-empty-text, gen-prefix-chat-choice.
  it.effect("goes on exactly where the prefix of answers ends, whatever the template writes after it", () =>
    Effect.gen(function* () {
      const keeping = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end_of_text|>\n{% endfor %}"
      const plainly = (lines: string, source = keeping) =>
        Effect.gen(function* () {
          return yield* contextOf(`description: ""\nnum_fewshot: 0\n${lines}`.trim(), {
            chat: yield* chat(source),
          })
        })
      const turn = "<|user|>2+2=<|end_of_text|>\n<|assistant|>"
      for (const prefix of ["x", "Answer:\n", "f", "Answer:\n  "]) {
        const { context } = yield* plainly(`gen_prefix: ${JSON.stringify(prefix)}`)
        assert.strictEqual(context, turn + prefix)
      }
      const trimming = keeping.replace("m.content", "m.content | trim")
      const trimmed = yield* plainly('gen_prefix: "Answer:\\n"', trimming)
      assert.strictEqual(trimmed.context, `${turn}Answer:`)
      const empty = yield* contextOf(
        'gen_prefix: "The answer is"\ndoc_to_text: ""\nnum_fewshot: 0\ndescription: ""',
        {},
      )
      assert.strictEqual(empty.context, "The answer is")
      const choice = 'output_type: multiple_choice\ndoc_to_choice: ["no", "yes"]\ndoc_to_target: 1\n'
      const asked = (prefix: string) =>
        Effect.map(plainly(`${choice}gen_prefix: ${JSON.stringify(prefix)}`), ({ requests }) =>
          requests.map((request) => (request._tag === "LogLikelihood" ? request.continuation : "")),
        )
      assert.deepStrictEqual(yield* asked("The answer is"), [" no", " yes"])
      assert.deepStrictEqual(yield* asked("The answer is\n"), ["no", "yes"])
    }).pipe(Effect.scoped),
  )

  // The cases chat-system-refused and system-text-ending-in-newline.
  it.effect(
    "asks without the system turn where the template refuses it, and joins texts by their own space",
    () =>
      Effect.gen(function* () {
        const refusing =
          "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        const place = yield* bench
        const task = yield* taskOf(place.write("small.yaml", generating("num_fewshot: 0")))
        const item = yield* Items.make(task, 1, rows[1] ?? {}, [], { chat: yield* chat(refusing) })
        assert.deepStrictEqual(item.requests[0], {
          _tag: "Generate",
          context: "<user>2+2=",
          generation: task.generation,
        })
        assert.strictEqual(item.withoutSystem, true)
        assert.strictEqual(
          (yield* contextOf("num_fewshot: 0", { system: "Be nice.\n" })).context,
          "Be nice.\nSums.2+2=",
        )
      }).pipe(Effect.scoped),
  )

  // The case loglikelihood-target-delimiter, and shots without an answer.
  it.effect("sets a delimiter once, and none where there is no answer", () =>
    Effect.gen(function* () {
      const { context, requests } = yield* contextOf(
        'output_type: loglikelihood\ndoc_to_target: " {{a}}"',
        {},
      )
      assert.strictEqual(context, "Sums.1+1=  two\n\n2+2=")
      assert.deepStrictEqual(requests, [{ _tag: "LogLikelihood", context, continuation: " four" }])
      assert.strictEqual((yield* contextOf('doc_to_target: ""', {})).context, "Sums.1+1=2+2=")
    }).pipe(Effect.scoped),
  )

  it.effect("has choices follow the assistant's header without a delimiter", () =>
    Effect.gen(function* () {
      const lines = 'output_type: multiple_choice\ndoc_to_choice: ["three", "four"]'
      const { requests } = yield* contextOf(lines, { chat: yield* chat() })
      assert.deepStrictEqual(
        requests.map((request) => (request._tag === "LogLikelihood" ? request.continuation : "")),
        ["three", "four"],
      )
    }).pipe(Effect.scoped),
  )

  it.effect("encodes a beginning of sequence that the template wrote once", () =>
    Effect.gen(function* () {
      const { vocabulary } = yield* respondent("math")
      const { prefix, tokenizer } = vocabulary
      const beginning = yield* tokenizer.decode([prefix])
      const contexts = ["Q: 1+1\nA:", `${beginning}Q: 1+1\nA:`]
      const pairs = contexts.map((context) => ({ context, continuation: " 2" }))
      const [plain, marked] = yield* Encoding.continued(vocabulary, pairs)
      assert.deepStrictEqual(marked, plain)
      const [prompt, same] = yield* Encoding.prompts(vocabulary, contexts, 4)
      assert.deepStrictEqual(same, prompt)
    }),
  )

  it.effect("is recorded in the results, and refused where the model has no template", () =>
    Effect.gen(function* () {
      const place = yield* bench
      place.write("rows.jsonl", jsonl(rows))
      const lines = 'doc_to_text: "{{q}}="\ndoc_to_choice: ["two", "four"]\ndoc_to_target: "{{a}}"'
      const file = place.write("small.yaml", taskText(lines))
      const selection = yield* Catalog.select([file])
      const own = yield* Checkpoint.open(checkpointPath("math"))
      const checkpoint = {
        ...own,
        files: { ...own.files, "chat_template.jinja": place.write("chat_template.jinja", template) },
      }
      const output = place.path("out")
      const model = yield* CausalModel.open(checkpoint)
      const options = { output, chat: true, system: "Be brief.", replicates: 0 }
      const { path, results } = yield* Suite.run(model, "math", selection, options)
      assert.strictEqual(results["chat_template"], template)
      assert.strictEqual(results["system_instruction"], "Be brief.")
      assert.strictEqual(results["fewshot_as_multiturn"], false)
      const samples = readFileSync(
        path.replace("results_", "samples_small_").replace(/json$/, "jsonl"),
        "utf8",
      )
      assert.include(samples, "[system]Be brief.[end][user]1+1=[end][assistant]")
      const bare = yield* CausalModel.open(own)
      const failure = yield* Effect.flip(Suite.run(bare, "math", selection, options))
      assert.match(failure.message, /no chat template: .* without --chat/)
      const lonely = yield* Effect.flip(Suite.run(bare, "math", selection, { output, multiturn: true }))
      assert.match(lonely.message, /only with the model's chat template/)
    }).pipe(Effect.scoped),
  )
})
