/**
 * Python's idea of text where it differs from JavaScript's: whitespace, lengths, regular expressions.
 */
import * as Result from "effect/Result"

// The characters `str.isspace` accepts; JavaScript's \s has U+FEFF in their place of U+001C…U+001F and U+0085.
const space = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"

/** The source of Python's `\\s*`. */
export const spaces = `[${space}]*`

const around = new RegExp(`^[${space}]+|[${space}]+$`, "g")
const between = new RegExp(`[${space}]+`, "g")

/** `text.strip()`. */
export const strip = (text: string): string => text.replaceAll(around, "")

/** `re.split(r"\s+", text)`. */
export const words = (text: string): ReadonlyArray<string> => text.split(between)

/** Whether a text ends or begins with whitespace. */
export const endsInSpace = (text: string): boolean => new RegExp(`[${space}]$`).test(text)
export const beginsWithSpace = (text: string): boolean => new RegExp(`^[${space}]`).test(text)

/** Whitespace at the end of a text, and the text before it. */
export const splitEnd = (text: string): readonly [string, string] => {
  const end = new RegExp(`[${space}]+$`).exec(text)?.index ?? text.length
  return [text.slice(0, end), text.slice(end)]
}

/** `len(text)`: code points. */
export const length = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

/** `len(text.encode("utf-8"))`. */
export const bytes = (text: string): number => Buffer.byteLength(text, "utf8")

/** `string.punctuation`, and the digits. */
export const punctuation = /[!-/:-@[-`{-~]/g
export const digits = /[0-9]/g

/**
 * A regular expression of Python's syntax: inline flags at its head, named groups, `\A`, `\Z`, and `$`, which also
 * matches before a line break at the end. Global, for `findall` and `sub`.
 */
export const regex = (pattern: string): Result.Result<RegExp, string> => {
  const [head = "", inline = ""] = /^\(\?([aiLmsux]+)\)/.exec(pattern) ?? []
  const flags = ["i", "m", "s"].filter((flag) => inline.includes(flag)).join("")
  let source = ""
  let inClass = false
  const rest = pattern.slice(head.length)
  for (let i = 0; i < rest.length; i++) {
    const character = rest[i] ?? ""
    const pair = rest.slice(i, i + 2)
    if (character === "\\") {
      i++
      if (pair === "\\A") source += "(?<![\\s\\S])"
      else if (pair === "\\Z") source += "(?![\\s\\S])"
      else source += pair
      continue
    }
    if (character === "[") inClass = true
    if (character === "]") inClass = false
    if (!inClass && rest.startsWith("(?P<", i)) {
      source += "(?<"
      i += 3
    } else if (!inClass && character === "$" && !flags.includes("m")) {
      source += "(?=\\n?(?![\\s\\S]))"
    } else {
      source += character
    }
  }
  return Result.try({
    try: () => new RegExp(source, `g${flags}`),
    catch: (cause) => (cause instanceof Error ? cause.message : String(cause)),
  })
}

/** `re.findall`: the matches, or their group where there is one, or all groups where there are several. */
export const findAll = (expression: RegExp, text: string): ReadonlyArray<ReadonlyArray<string>> =>
  [...text.matchAll(expression)].map(([whole, ...groups]) =>
    groups.length === 0 ? [whole] : groups.map((group) => group ?? ""),
  )
