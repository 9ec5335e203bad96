/**
 * Chat templates: a conversation as the text that a chat model was trained on.
 *
 * The template is the checkpoint's own: chat_template.jinja, or the one in tokenizer_config.json or, of processors,
 * chat_template.json. It writes special tokens as text, so what it gives is encoded without adding any.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import { readText } from "../internal/readText.ts"
import * as JsonText from "../checkpoint/JsonText.ts"
import { oneLine, optional } from "../checkpoint/ModelConfig.ts"
import { ModelError } from "../ModelError.ts"
import * as SpecialTokens from "./SpecialTokens.ts"

/** One turn; `role` is usually `system`, `user` or `assistant`. */
export interface Message {
  readonly role: string
  readonly content: string
}

export interface ChatTemplate {
  /** The template itself. */
  readonly source: string
  /**
   * The text of a conversation, ending with what an answer begins with unless told otherwise. Fails where the template
   * refuses the conversation.
   */
  readonly render: (
    messages: ReadonlyArray<Message>,
    options?: { readonly addGenerationPrompt?: boolean },
  ) => Effect.Effect<string, ModelError>
}

const Named = Schema.Struct({ name: Schema.String, template: Schema.String })

const TokenizerConfig = JsonText.fromText(
  Schema.Struct({
    chat_template: optional(Schema.Union([Schema.String, Schema.Array(Named)])),
  }),
)
type TokenizerConfig = typeof TokenizerConfig.Type

const refuse = (model: string, problem: string) => new ModelError({ model, problem, blame: "input" })

const lineOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).replaceAll(/\s+/g, " ")

/** A file of a checkpoint by its name; an empty object where it is not there. */
const readConfig = Effect.fnUntraced(function* ({ files }: Pick<Checkpoint, "files">, name: string) {
  const path = files[name]
  const text = path === undefined ? "{}" : yield* readText(path)
  return yield* Effect.mapError(Schema.decodeUnknownEffect(TokenizerConfig)(text), ({ message }) =>
    refuse(path ?? name, oneLine(message)),
  )
})

/** A template in a file, or `default` where it has several. */
const defaultOf = ({ chat_template: template }: TokenizerConfig): string | undefined =>
  typeof template === "string" ? template : template?.find(({ name }) => name === "default")?.template

/** A checkpoint's own template, if it has one; of several the one for talk without tools, `default`. */
export const sourceOf = Effect.fnUntraced(function* (
  checkpoint: Pick<Checkpoint, "files">,
): Effect.fn.Return<string | undefined, ModelError> {
  const path =
    checkpoint.files["chat_template.jinja"] ?? checkpoint.files["additional_chat_templates/default.jinja"]
  if (path !== undefined) return yield* readText(path)
  return (
    defaultOf(yield* readConfig(checkpoint, "tokenizer_config.json")) ??
    defaultOf(yield* readConfig(checkpoint, "chat_template.json"))
  )
})

const compile = Effect.fnUntraced(function* (source: string, place: string) {
  const { Template } = yield* Effect.promise(() => import("@huggingface/jinja"))
  return yield* Effect.try({
    try: () => new Template(source),
    catch: (cause) => refuse(place, `unusable chat template: ${lineOf(cause)}`),
  })
})

/** Fails where a text cannot be read as a template; `place` says in the error where it stands. */
export const check = (source: string, place: string): Effect.Effect<void, ModelError> =>
  Effect.asVoid(compile(source, place))

/** Opens the chat template of a checkpoint; fails when it has none. */
export const open = Effect.fnUntraced(function* (
  checkpoint: Pick<Checkpoint, "files">,
): Effect.fn.Return<ChatTemplate, ModelError> {
  const { files } = checkpoint
  const source = yield* sourceOf(checkpoint)
  const place =
    files["chat_template.jinja"] ?? files["tokenizer_config.json"] ?? files["config.json"] ?? "model"
  if (source === undefined) {
    return yield* refuse(
      place,
      "no chat template: give the prompt as the model was trained on it, without --chat",
    )
  }
  const template = yield* compile(source, place)
  const tokens = yield* SpecialTokens.read(checkpoint)
  return {
    source,
    render: (messages, { addGenerationPrompt = true } = {}) =>
      Effect.try({
        try: () =>
          template.render({ ...tokens, messages: [...messages], add_generation_prompt: addGenerationPrompt }),
        catch: (cause) => refuse(place, `the chat template refuses the conversation: ${lineOf(cause)}`),
      }),
  }
})
