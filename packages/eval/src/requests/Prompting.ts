/**
 * Prompting: a system instruction, and whether a task is asked as plain text or as a conversation.
 *
 * A conversation is laid out as the reference harness does under `--apply_chat_template`: the system turn is the
 * instruction and the task's description; shots are part of the one user turn, or turns of their own with `multiturn`;
 * what an answer begins with (`gen_prefix`) is the beginning of the assistant's turn. The template writes the line after
 * which an answer follows, so that no delimiter stands before it.
 */
import type { ChatTemplate, ModelError } from "@hila/model"
import * as Effect from "effect/Effect"

/** How documents are asked; plain text without an instruction unless given. */
export interface Prompting {
  /** What the system turn begins with; without a chat template it stands before the description. */
  readonly system?: string
  /** The model's own template. */
  readonly chat?: ChatTemplate.ChatTemplate
  /** Whether shots are turns of their own; only with `chat`. */
  readonly multiturn?: boolean
}

/** A shot as turns of a conversation. */
export interface Turns {
  readonly question: string
  readonly answer: string
}

/** The instruction and the description, with a delimiter between them. */
export const preamble = ({ system = "" }: Prompting, description: string, delimiter: string): string =>
  system === "" || description === "" ? system + description : system + delimiter + description

/**
 * The context of a document in a conversation: `preamble` is the system turn (none if empty), `shots` stand before
 * `text` in its turn unless they are turns.
 */
export const converse = (
  chat: ChatTemplate.ChatTemplate,
  {
    genPrefix,
    preamble: system,
    shots,
    text,
    turns,
  }: {
    readonly preamble: string
    readonly turns: ReadonlyArray<Turns>
    readonly shots: string
    readonly text: string
    readonly genPrefix: string
  },
): Effect.Effect<string, ModelError> => {
  const messages: ReadonlyArray<ChatTemplate.Message> = [
    ...(system === "" ? [] : [{ role: "system", content: system }]),
    ...turns.flatMap(({ answer, question }) => [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ]),
    { role: "user", content: shots + text },
    ...(genPrefix === "" ? [] : [{ role: "assistant", content: genPrefix }]),
  ]
  return Effect.map(chat.render(messages, { addGenerationPrompt: genPrefix === "" }), (rendered) => {
    if (genPrefix === "") return rendered
    // The turn goes on: what the template writes after it is cut. Templates may strip what they are given.
    const begun = genPrefix.trim()
    const at = rendered.lastIndexOf(begun)
    return at < 0 ? rendered : rendered.slice(0, at + begun.length)
  })
}
