/**
 * Python's idea of text where it differs from JavaScript's: whitespace and lengths.
 */

// The characters `str.isspace` accepts; JavaScript's \s has U+FEFF in their place of U+001C…U+001F and U+0085.
/** The inside of a set of Python's whitespace. */
export const space = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"

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
