/**
 * Prompting: a document's context as messages, written as plain text or as a conversation.
 *
 * Messages are laid out as the reference harness lays them out, each with the delimiter that follows it in plain text. A
 * conversation under `--apply_chat_template` has the instruction and the task's description as its system turn; shots are
 * part of the one user turn, or turns of their own with `multiturn`; what an answer begins with (`gen_prefix`) is the
 * beginning of the assistant's turn.
 */
import { last } from "@hila/core/Lookup"
import type { ChatTemplate, ModelError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as PythonText from "../metrics/PythonText.ts"

/** How documents are asked; plain text without an instruction unless given. */
export interface Prompting {
  /** What the system turn begins with; without a chat template it stands before the description. */
  readonly system?: string
  /** The model's own template. */
  readonly chat?: ChatTemplate.ChatTemplate
  /** Whether shots are turns of their own; only with `chat`. */
  readonly multiturn?: boolean
}

/** A turn, and what follows it where turns are one text. */
export interface Message extends ChatTemplate.Message {
  readonly role: "system" | "user" | "assistant"
  readonly delimiter: string
}

/** Whether two texts need a delimiter: neither has whitespace where they meet, and there is a first one. */
const needsDelimiter = (left: string, right: string): boolean =>
  left !== "" && !PythonText.endsInSpace(left) && !PythonText.beginsWithSpace(right)

/** Two texts with a delimiter between them, unless one is empty or there is whitespace already. */
const joined = (left: string, delimiter: string, right: string): string =>
  right !== "" && needsDelimiter(left, right) ? left + delimiter + right : left + right

/** The instruction and the description as one turn; none where both are empty. */
export const preamble = (
  { system = "" }: Prompting,
  description: string,
  delimiter: string,
): ReadonlyArray<Message> => {
  const content = joined(system, delimiter, description)
  return content === "" ? [] : [{ role: "system", content, delimiter: "" }]
}

/** A question with its answer, where it has one, and what an answer begins with. */
export interface Exchange {
  readonly question: string
  readonly answer?: string
  readonly genPrefix: string
  /** Between question and answer. */
  readonly targetDelimiter: string
  /** Behind an answer. */
  readonly fewshotDelimiter: string
}

/** An exchange as turns. A prefix and its answer are a blank apart, whatever the delimiter, as in the harness. */
export const turns = ({
  answer = "",
  fewshotDelimiter,
  genPrefix,
  question,
  targetDelimiter,
}: Exchange): ReadonlyArray<Message> => {
  const separate = genPrefix === "" ? answer !== "" : needsDelimiter(question, genPrefix)
  const asked: Message = { role: "user", content: question, delimiter: separate ? targetDelimiter : "" }
  if (answer !== "")
    return [
      asked,
      { role: "assistant", content: joined(genPrefix, " ", answer), delimiter: fewshotDelimiter },
    ]
  return genPrefix === "" ? [asked] : [asked, { role: "assistant", content: genPrefix, delimiter: "" }]
}

/** ExclusiveProgram as one text. */
export const plain = (messages: ReadonlyArray<Message>): string =>
  messages.map(({ content, delimiter }) => content + delimiter).join("")

/** All turns of users and shots as one, before the beginning of an answer, if there is one. */
const singleTurn = (messages: ReadonlyArray<Message>): ReadonlyArray<ChatTemplate.Message> => {
  const system = messages.filter(({ role }) => role === "system")
  const rest = messages.slice(system.length)
  const end = rest.at(-1)?.role === "assistant" ? rest.slice(-1) : []
  const asked = rest.slice(0, rest.length - end.length)
  const content = plain(asked.slice(0, -1)) + (asked.length === 0 ? "" : last(asked).content)
  return [...system, { role: "user", content }, ...end]
}

/** Marks where a turn of the assistant goes on, with a blank that templates which strip what they are given take off. */
const mark = "<hila:goes-on>"

/** A conversation as text; where the last turn is the assistant's, it goes on where that turn ends. */
const render = (
  chat: ChatTemplate.ChatTemplate,
  messages: ReadonlyArray<ChatTemplate.Message>,
): Effect.Effect<string, ModelError> => {
  const end = last(messages)
  if (end.role !== "assistant") return chat.render(messages)
  const begun = { ...end, content: `${end.content}${mark} ` }
  return Effect.map(
    chat.render([...messages.slice(0, -1), begun], { addGenerationPrompt: false }),
    (text) => {
      const at = text.lastIndexOf(mark)
      if (at < 0) return text
      const before = text.slice(0, at)
      return text.startsWith(`${mark} `, at) ? before : before.trimEnd()
    },
  )
}

/** A conversation's text, and whether the template took no system turn, so that it was asked without one. */
export interface Conversation {
  readonly text: string
  readonly withoutSystem: boolean
}

/** ExclusiveProgram as a conversation. A template that refuses the system turn is asked again without it. */
export const converse = (
  chat: ChatTemplate.ChatTemplate,
  messages: ReadonlyArray<Message>,
  multiturn: boolean,
): Effect.Effect<Conversation, ModelError> => {
  const whole = (multiturn ? messages : singleTurn(messages)).map(({ content, role }) => ({ role, content }))
  const without = whole.filter(({ role }) => role !== "system")
  const as = (withoutSystem: boolean) => (text: string) => ({ text, withoutSystem })
  const asked = Effect.map(render(chat, whole), as(false))
  return without.length === whole.length
    ? asked
    : asked.pipe(Effect.catch(() => Effect.map(render(chat, without), as(true))))
}
