/** The chat template that a recipe gives its result. */
import { ChatTemplate, type Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
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
): Effect.fn.Return<string | undefined, RecipeError> {
  const given = recipe.chat_template ?? undefined
  if (given === undefined) return undefined
  if (Object.hasOwn(named, given)) return named[given]
  if (given === "auto") {
    const votes = new Map<string, number>()
    for (const model of models) {
      const own = yield* templateOf(model)
      if (own !== undefined) votes.set(own, (votes.get(own) ?? 0) + 1)
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

const read = (path: string | undefined) =>
  path === undefined ? Effect.succeed("") : Effect.promise(() => readFile(path, "utf8").catch(() => ""))

/** A model's own template. */
const templateOf = Effect.fnUntraced(function* ({ files }: Checkpoint.Checkpoint) {
  const file = yield* read(files["chat_template.jinja"])
  if (file !== "") return file
  return yield* Effect.sync(() => undefined).pipe(
    Effect.andThen(read(files["tokenizer_config.json"])),
    Effect.map((text): string | undefined => {
      const config = objectOf(text)
      return typeof config["chat_template"] === "string" ? config["chat_template"] : undefined
    }),
  )
})

const objectOf = (text: string): Record<string, unknown> => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null ? { ...value } : {}
  } catch {
    return {}
  }
}

/** The files of a result that carry the template, by name: their new text. */
export const filesOf = Effect.fnUntraced(function* (
  template: string,
  files: Readonly<Record<string, string>>,
) {
  const config = objectOf(yield* read(files["tokenizer_config.json"]))
  return {
    "chat_template.jinja": template,
    "tokenizer_config.json": `${JSON.stringify({ ...config, chat_template: template }, null, 2)}\n`,
  }
})
