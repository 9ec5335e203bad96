/** The chat template that a recipe gives its result. */
import { entryOr } from "@hila/core/Lookup"
import { ChatTemplate, type Checkpoint, CheckpointError, JsonText, type ModelError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { readFile } from "node:fs/promises"
import type { RecipeError } from "../MergeError.ts"
import type { Located } from "../recipe/RecipeFile.ts"
import { hint } from "../recipe/Suggest.ts"

/** The formats that recipes know by name, as Jinja. */
const named: Readonly<Record<string, string>> = {
  alpaca:
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'] + '\\n\\n' }}{% elif message['role'] == 'user' %}{{ '### Instruction:\\n' + message['content'] + '\\n\\n' }}{% else %}{{ '### Response:\\n' + message['content'] + eos_token + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '### Response:\\n' }}{% endif %}",
  chatml:
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
  exaone:
    "{% for message in messages %}{{ '[|' + message['role'] + '|]' + message['content'] + ('\\n' if message['role'] == 'user' else '[|endofturn|]\\n') }}{% endfor %}{% if add_generation_prompt %}{{ '[|assistant|]' }}{% endif %}",
  llama3:
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] + '<|eot_id|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
  mistral:
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}{{ ' ' + message['content'] + eos_token }}{% else %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}{% endfor %}",
}

/** The template as Jinja; `auto` is the one that most models have, the first of them at a tie. */
export const of = Effect.fnUntraced(function* (
  { error, recipe }: Located,
  models: ReadonlyArray<Checkpoint.Checkpoint>,
): Effect.fn.Return<string | undefined, RecipeError | CheckpointError> {
  const given = recipe.chat_template ?? undefined
  if (given === undefined) return undefined
  if (Object.hasOwn(named, given)) return named[given]
  if (given === "auto") {
    const votes = new Map<string, number>()
    for (const model of models) {
      const own = yield* sourceOf(model)
      if (own !== undefined) votes.set(own, entryOr(votes, own, 0) + 1)
    }
    const [first] = [...votes].toSorted((a, b) => b[1] - a[1])
    return first?.[0] ?? (yield* error(["chat_template"], "auto: no model of the merge has a chat template"))
  }
  if (given.includes("{")) {
    const checked = ChatTemplate.check(given, "chat_template")
    yield* Effect.mapError(checked, ({ problem }) => error(["chat_template"], problem))
    return given
  }
  const known = ["auto", ...Object.keys(named)]
  return yield* error(
    ["chat_template"],
    `there is no chat template "${given}"${hint(given, known)}, or give one as Jinja`,
  )
})

const fileError = ({ blame, model: path, problem }: ModelError) =>
  new CheckpointError({ path, problem, blame })

/** A model's own template; of several the one named default. */
const sourceOf = (model: Pick<Checkpoint.Checkpoint, "files">) =>
  Effect.mapError(ChatTemplate.sourceOf(model), fileError)

/** Files that hold templates as one of their values. */
const holders = ["tokenizer_config.json", "chat_template.json"]

/** Whether a file holds a template for another purpose than the default, which one template takes the place of. */
export const isOther = (name: string): boolean => name.startsWith("additional_chat_templates/")

/** The files that carry the template, by name: their new text; none where `files` have that template already. */
export const filesOf = Effect.fnUntraced(function* (
  template: string,
  files: Readonly<Record<string, string>>,
): Effect.fn.Return<Readonly<Record<string, string>>, CheckpointError> {
  if ((yield* sourceOf({ files })) === template) return {}
  const texts: Record<string, string> = { "chat_template.jinja": template, "tokenizer_config.json": "{}\n" }
  for (const name of holders) {
    const path = files[name]
    if (path !== undefined) texts[name] = yield* readObject(path)
    const text = texts[name]
    if (text !== undefined) texts[name] = JsonText.set(text, ["chat_template"], template)
  }
  return texts
})

/** The text of a file that is a JSON object. */
const readObject = Effect.fnUntraced(function* (path: string) {
  const refuse = (problem: string) => new CheckpointError({ path, problem, blame: "input" })
  const text = yield* Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: (cause) => refuse(cause instanceof Error ? cause.message : String(cause)),
  })
  const value = JsonText.read(text)
  if (Result.isFailure(value)) return yield* refuse(`no JSON: ${value.failure}`)
  const isObject =
    typeof value.success === "object" && value.success !== null && !Array.isArray(value.success)
  return isObject ? text : yield* refuse("expected a JSON object")
})
