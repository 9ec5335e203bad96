/**
 * Chat templates: a conversation as the text that a chat model was trained on.
 *
 * The template is the checkpoint's own, chat_template.jinja or the one in tokenizer_config.json. It writes special
 * tokens as text, so what it gives is encoded without adding any.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Checkpoint } from "./Checkpoint.ts"
import { readText } from "./internal/readText.ts"
import { oneLine, optional } from "./ModelConfig.ts"
import { ModelError } from "./ModelError.ts"

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

/** A special token, as text or with the flags of an added token. */
const Token = optional(Schema.Union([Schema.String, Schema.Struct({ content: Schema.String })]))

const Named = Schema.Struct({ name: Schema.String, template: Schema.String })

const TokenizerConfig = Schema.fromJsonString(
  Schema.Struct({
    chat_template: optional(Schema.Union([Schema.String, Schema.Array(Named)])),
    bos_token: Token,
    eos_token: Token,
    pad_token: Token,
    unk_token: Token,
  }),
)
type TokenizerConfig = typeof TokenizerConfig.Type

const refuse = (model: string, problem: string) => new ModelError({ model, problem, blame: "input" })

const lineOf = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).replaceAll(/\s+/g, " ")

/** The template itself: a file of its own, or an entry of tokenizer_config.json, `default` where it has several. */
const templateOf = Effect.fnUntraced(function* (
  { files }: Pick<Checkpoint, "files">,
  { chat_template: template }: TokenizerConfig,
) {
  const path = files["chat_template.jinja"]
  if (path !== undefined) return yield* readText(path)
  if (typeof template === "string") return template
  return template?.find(({ name }) => name === "default")?.template
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
  const path = checkpoint.files["tokenizer_config.json"]
  const json = path === undefined ? "{}" : yield* readText(path)
  const config = yield* Effect.mapError(Schema.decodeUnknownEffect(TokenizerConfig)(json), ({ message }) =>
    refuse(path ?? "tokenizer_config.json", oneLine(message)),
  )
  const source = yield* templateOf(checkpoint, config)
  const place = checkpoint.files["chat_template.jinja"] ?? path ?? checkpoint.files["config.json"] ?? "model"
  if (source === undefined) {
    return yield* refuse(
      place,
      "no chat template: give the prompt as the model was trained on it, without --chat",
    )
  }
  const template = yield* compile(source, place)
  const { bos_token, eos_token, pad_token, unk_token } = config
  const tokens = Object.fromEntries(
    Object.entries({ bos_token, eos_token, pad_token, unk_token }).flatMap(([name, token]) =>
      token === undefined || token === null
        ? []
        : [[name, typeof token === "string" ? token : token.content]],
    ),
  )
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
