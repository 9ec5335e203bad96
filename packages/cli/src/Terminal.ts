/**
 * The terminal: what may reach it. Names of tensors and tasks, values of recipes, texts of models and messages about them come
 * from anywhere, and a control character in one would move the cursor, hide what stands there, or answer for the user.
 *
 * `guard` stands before standard output where that is a terminal, and before standard error always, so that nobody who prints
 * has to think of it; files and pipes get what a command prints as it is. What the command itself draws with goes through
 * `own`.
 */
import { randomBytes } from "node:crypto"

/**
 * Characters that control a terminal or the direction of text: C0 but tab and line feed, DEL, C1, marks and overrides of
 * direction, and annotations.
 */
const controls =
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFFF9-\uFFFB]/g

/** A text with its control characters written out, `\u001b`: as JSON has them, so that JSON stays what it is. */
export const plain = (text: string): string =>
  text
    .replaceAll("\r\n", "\n")
    .replaceAll(controls, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`)

/** Nobody else can know how this process marks what is its own. */
const mark = `\uF8FD${randomBytes(9).toString("hex")}`
const marked = new RegExp(`${mark}([0-9a-f]*)\uF8FD`, "g")

let isGuarded = false
let isTrusted = false

/** Sequences of the command's own, for the cursor and colours, in a text that is written to standard output. */
export const own = (sequence: string): string =>
  isGuarded ? `${mark}${Buffer.from(sequence, "latin1").toString("hex")}\uF8FD` : sequence

/** A text of the command's own with its colours. */
export const coloured = (text: string): string =>
  // oxlint-disable-next-line no-control-regex -- colours are control sequences
  text.replaceAll(/\u001B\[[0-9;]*m/g, own)

/** What a terminal gets of a text. */
export const rendered = (text: string): string =>
  plain(text).replaceAll(marked, (_, hex: string) => Buffer.from(hex, "hex").toString("latin1"))

/** Writes help, which is the command's own text, with the colours that the parser gives it. */
export const trusted = <A>(write: () => A): A => {
  isTrusted = true
  try {
    return write()
  } finally {
    isTrusted = false
  }
}

/** Puts the guard before a stream: every text that is written to it from now on is rendered. */
export const guard = (stream: Pick<NodeJS.WriteStream, "write">): void => {
  const write = stream.write.bind(stream)
  stream.write = (chunk: string | Uint8Array, ...rest: Array<never>) =>
    write(typeof chunk === "string" && !isTrusted ? rendered(chunk) : chunk, ...rest)
}

/** Guards what this process prints. */
export const guardAll = (): void => {
  guard(process.stderr)
  if (!process.stdout.isTTY) return
  isGuarded = true
  guard(process.stdout)
}
