/**
 * Layouts of YAML that PyYAML reads and the YAML library refuses: lines of a quoted text, or of a list or mapping in
 * brackets, that are indented less than what they belong to.
 *
 * Such lines are indented further, which changes nothing of what they say and no line's number. Not a parser: what is no
 * YAML stays as it is, and is refused by the library.
 */
import type { Lexer } from "yaml"

/** More than any line of a task file is indented by. */
const padding = " ".repeat(400)

/** The place behind a quoted text that begins at `start`, if it ends. */
const endOfQuoted = (text: string, start: number): number | undefined => {
  const pattern = text[start] === '"' ? /"(?:[^"\\]|\\[^])*"/y : /'(?:[^']|'')*'/y
  pattern.lastIndex = start
  return pattern.test(text) ? pattern.lastIndex : undefined
}

/** The place behind a list or mapping in brackets that begins at `start`, if it ends. */
const endOfBrackets = (text: string, start: number): number | undefined => {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const character = text.charAt(at)
    if ("[{".includes(character)) depth++
    else if ("]}".includes(character) && --depth === 0) return at + 1
    else if ("\"'".includes(character) && /[[{,:?]\s*$/.test(text.slice(Math.max(0, at - 200), at))) {
      const end = endOfQuoted(text, at)
      if (end === undefined) return undefined
      at = end - 1
    } else if (character === "#" && /\s/.test(text.charAt(at - 1))) {
      const end = text.indexOf("\n", at)
      if (end < 0) return undefined
      at = end - 1
    }
  }
  return undefined
}

/** Marks of the lexer: that brackets end without their closing one, for want of indentation; that no quotes follow. */
const brokenOff = "\u0018"
const plain = "\u001f"

/** Where the first part of a text lies that the lexer breaks off and that has an end. */
const brokenPart = (text: string, lexer: Lexer): readonly [number, number] | undefined => {
  let [at, depth, opened] = [0, 0, 0]
  let before = ""
  for (const token of lexer.lex(text)) {
    if (token === brokenOff) {
      const end = endOfBrackets(text, opened)
      return end === undefined ? undefined : [opened, end]
    }
    if (token === "[" || token === "{") {
      if (depth++ === 0) opened = at
    } else if (token === "]" || token === "}") depth = Math.max(0, depth - 1)
    else if (before !== plain && /^["']/.test(token)) {
      const end = endOfQuoted(text, at)
      if (end === undefined) return undefined
      if (end !== at + token.length) return [at, end]
    }
    // Marks of the lexer's own take no place in the text.
    if (text.startsWith(token, at)) at += token.length
    before = token
  }
  return undefined
}

/** The text with its line breaks as `\n`, as PyYAML has them. */
export const withBreaks = (text: string): string => text.replaceAll(/\r\n?|\u0085/g, "\n")

/** The text with what is indented too little indented enough. `lexerOf` makes a lexer of the YAML library. */
export const indented = (text: string, lexerOf: () => Lexer): string => {
  let result = text
  for (;;) {
    const part = brokenPart(result, lexerOf())
    if (part === undefined) return result
    const [start, end] = part
    const within = result.slice(start, end)
    const padded = within.replaceAll(/\n(?! {400})/g, `\n${padding}`)
    if (padded === within) return result
    result = result.slice(0, start) + padded + result.slice(end)
  }
}
