/**
 * Where the values of a JSON text lie: spans by character, found without building the values.
 *
 * The grammar is Python's: JSON with the numbers NaN, Infinity and -Infinity. Skipping a value looks at quotes and
 * brackets alone; `valueAt` is strict.
 */

/** Containers within containers at most, about half of what Python itself reads. */
export const deepest = 500

/** A member of an object or an element of a list. */
export interface Entry {
  /** Where it begins: the key's opening quote, or the element. */
  readonly at: number
  /** After the key's closing quote; `at` where there is no key. */
  readonly keyEnd: number
  /** The value, from its first character to the one after its last. */
  readonly start: number
  readonly end: number
}

/** What is wrong with a text, and where. */
export class JsonProblem extends Error {
  readonly offset: number
  constructor(offset: number, problem: string) {
    super(problem)
    this.offset = offset
  }
}

/** The first character that is no white space. */
export const skipSpace = (text: string, from: number): number => {
  let i = from
  while (text[i] === " " || text[i] === "\n" || text[i] === "\r" || text[i] === "\t") i++
  return i
}

/** The index after the closing quote of the string that opens at `start`; the text's end where it is cut off. */
export const endOfString = (text: string, start: number): number => {
  for (let from = start + 1; ;) {
    const quote = text.indexOf('"', from)
    if (quote === -1) return text.length
    let slashes = quote
    while (text[slashes - 1] === "\\") slashes--
    if ((quote - slashes) % 2 === 0) return quote + 1
    from = quote + 1
  }
}

/** The index after the value that begins at `start`. */
export const endOfValue = (text: string, start: number): number => {
  const first = text[start]
  if (first === '"') return endOfString(text, start)
  if (first !== "{" && first !== "[") {
    const scalar = /[^\s,:{}[\]"]*/y
    scalar.lastIndex = start
    scalar.test(text)
    return scalar.lastIndex
  }
  let depth = 0
  for (let i = start; i < text.length;) {
    const character = text[i]
    if (character === '"') i = endOfString(text, i)
    else {
      if (character === "{" || character === "[") depth++
      else if ((character === "}" || character === "]") && --depth === 0) return i + 1
      i++
    }
  }
  return text.length
}

/** How many containers lie within one another at most. */
export const depthOf = (text: string): number => {
  let depth = 0
  let most = 0
  for (let i = 0; i < text.length;) {
    const character = text[i]
    if (character === '"') i = endOfString(text, i)
    else {
      if (character === "{" || character === "[") most = Math.max(most, ++depth)
      else if (character === "}" || character === "]") depth--
      i++
    }
  }
  return most
}

const shown = (text: string, at: number): string =>
  at >= text.length ? "the end of the text" : JSON.stringify(text.slice(at, at + 1))

/** The entries of the container that begins at `start`, in order. */
export function* entriesOf(text: string, start: number): Generator<Entry, void> {
  const isMap = text[start] === "{"
  const closing = isMap ? "}" : "]"
  let at = skipSpace(text, start + 1)
  if (text[at] === closing) return
  for (;;) {
    let keyEnd = at
    let value = at
    if (isMap) {
      if (text[at] !== '"') throw new JsonProblem(at, `expected a key in quotes, got ${shown(text, at)}`)
      keyEnd = endOfString(text, at)
      const colon = skipSpace(text, keyEnd)
      if (text[colon] !== ":") throw new JsonProblem(colon, `expected a colon, got ${shown(text, colon)}`)
      value = skipSpace(text, colon + 1)
    }
    const end = endOfValue(text, value)
    if (end === value) throw new JsonProblem(value, `expected a value, got ${shown(text, value)}`)
    yield { at, keyEnd, start: value, end }
    const next = skipSpace(text, end)
    if (text[next] === closing) return
    if (text[next] !== ",")
      throw new JsonProblem(next, `expected a comma or ${closing}, got ${shown(text, next)}`)
    at = skipSpace(text, next + 1)
  }
}

/** The key of an object's member. */
export const keyOf = (text: string, { at, keyEnd }: Entry): string => {
  const key = text.slice(at + 1, keyEnd - 1)
  return key.includes("\\") ? String(scalarAt(text, at, keyEnd)) : key
}

const words: ReadonlyMap<string, number> = new Map([
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
])

const scalarAt = (text: string, start: number, end: number): unknown => {
  const literal = text.slice(start, end)
  const word = words.get(literal)
  if (word !== undefined) return word
  try {
    return JSON.parse(literal)
  } catch {
    const got = literal.length > 40 ? `${literal.slice(0, 40)}…` : literal || shown(text, start)
    throw new JsonProblem(start, `expected a value, got ${got}`)
  }
}

/** The value that begins at `start` and ends before `end`; of keys that stand twice the last counts, as in Python. */
export const valueAt = (text: string, start: number, end: number): unknown => {
  if (text[start] === "[") {
    return Array.from(entriesOf(text, start), (entry) => valueAt(text, entry.start, entry.end))
  }
  if (text[start] !== "{") return scalarAt(text, start, end)
  const members = Array.from(entriesOf(text, start), (entry): readonly [string, unknown] => [
    String(scalarAt(text, entry.at, entry.keyEnd)),
    valueAt(text, entry.start, entry.end),
  ])
  return Object.fromEntries(members)
}
