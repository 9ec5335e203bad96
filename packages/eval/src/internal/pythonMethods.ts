/**
 * Methods of Python's texts, lists and dictionaries that templates may call. Positions and lengths are of code points,
 * whitespace and letters Python's. What is not here is refused by its name.
 */
import { at } from "@hila/core/Lookup"
import * as PythonText from "../metrics/PythonText.ts"
import type { Arguments } from "./jinjaValues.ts"
import { python, Tuple } from "./python.ts"
import { equal } from "./pythonOperators.ts"

const letter = /\p{L}/u
const cased = /\p{Lu}|\p{Ll}|\p{Lt}/u

/** `text.capitalize()`: the first character as a capital, the others small. */
export const capitalize = (text: string): string => {
  const [first = "", ...rest] = text
  return first.toUpperCase() + rest.join("").toLowerCase()
}

/** `text.title()`: a capital after everything that has no case. */
const title = (text: string): string => {
  let within = false
  return [...text]
    .map((character) => {
      const changed = within ? character.toLowerCase() : character.toUpperCase()
      within = cased.test(character)
      return changed
    })
    .join("")
}

/** A text without characters of a set at its ends; Python's whitespace where no set is given. */
export const stripped = (text: string, set: unknown, ends: "both" | "left" | "right" = "both"): string => {
  const given = typeof set === "string" ? new Set(set) : undefined
  const goes = (character: string) =>
    given === undefined ? PythonText.strip(character) === "" : given.has(character)
  const characters = [...text]
  let [start, end] = [0, characters.length]
  if (ends !== "right") while (start < end && goes(at(characters, start))) start++
  if (ends !== "left") while (end > start && goes(at(characters, end - 1))) end--
  return characters.slice(start, end).join("")
}

/** A text between separators; runs of whitespace where none is given. */
const split = (text: string, separator: unknown, most: unknown): ReadonlyArray<string> => {
  const limit = typeof most === "number" && most >= 0 ? most : Number.POSITIVE_INFINITY
  if (separator === "") throw new Error("a text cannot be split at nothing")
  const given = typeof separator === "string" ? separator : undefined
  const found: Array<string> = []
  let rest = given === undefined ? stripped(text, undefined, "left") : text
  while (found.length < limit) {
    const gap = given ?? new RegExp(`[${PythonText.space}]+`).exec(rest)?.[0]
    const at = gap === undefined ? -1 : rest.indexOf(gap)
    if (gap === undefined || at < 0) break
    found.push(rest.slice(0, at))
    rest = rest.slice(at + gap.length)
  }
  return given === undefined && rest === "" ? found : [...found, rest]
}

/** The same from the right. */
const splitRight = (text: string, separator: unknown, most: unknown): ReadonlyArray<string> => {
  const turned = (value: string) => [...value].toReversed().join("")
  const back = typeof separator === "string" ? turned(separator) : separator
  return split(turned(text), back, most).map(turned).toReversed()
}

/** Where a text is in another, in code points; below 0 where it is not. */
const place = (text: string, part: unknown, last = false): number => {
  const at = last ? text.lastIndexOf(String(part)) : text.indexOf(String(part))
  return at < 0 ? at : PythonText.length(text.slice(0, at))
}

const found = (at: number, whole: unknown, part: unknown): number => {
  if (at < 0) throw new Error(`${python(part, true)} is not in ${python(whole, true)}`)
  return at
}

const replaced = (text: string, old: string, by: string, count: unknown): string => {
  const most = typeof count === "number" && count >= 0 ? count : Number.POSITIVE_INFINITY
  let done = 0
  const parts = old === "" ? ["", ...text, ""] : text.split(old)
  return parts.reduce((before, part) => before + (done++ < most ? by : old) + part)
}

const parted = (text: string, separator: string, last: boolean): Tuple => {
  const at = last ? text.lastIndexOf(separator) : text.indexOf(separator)
  if (at < 0) return Tuple.from(last ? ["", "", text] : [text, "", ""])
  return Tuple.from([text.slice(0, at), separator, text.slice(at + separator.length)])
}

const every = (text: string, pattern: RegExp): boolean =>
  text !== "" && [...text].every((one) => pattern.test(one))

const filled = (text: string, width: unknown, fill: unknown, before: (gap: number) => number): string => {
  const gap = Math.max(0, Number(width) - PythonText.length(text))
  const left = before(gap)
  const character = typeof fill === "string" ? fill : " "
  return character.repeat(left) + text + character.repeat(gap - left)
}

type Method<A> = (self: A, positional: ReadonlyArray<any>, named: Arguments["named"]) => unknown

/** Of texts. */
export const ofText: Readonly<Record<string, Method<string>>> = {
  upper: (self) => self.toUpperCase(),
  lower: (self) => self.toLowerCase(),
  casefold: (self) => self.toUpperCase().toLowerCase(),
  swapcase: (self) =>
    [...self].map((one) => (one === one.toUpperCase() ? one.toLowerCase() : one.toUpperCase())).join(""),
  capitalize: (self) => capitalize(self),
  title: (self) => title(self),
  strip: (self, [set]) => stripped(self, set),
  lstrip: (self, [set]) => stripped(self, set, "left"),
  rstrip: (self, [set]) => stripped(self, set, "right"),
  split: (self, [separator, most], { maxsplit = most, sep = separator }) => split(self, sep, maxsplit),
  rsplit: (self, [separator, most], { maxsplit = most, sep = separator }) => splitRight(self, sep, maxsplit),
  splitlines: (self) => {
    // oxlint-disable-next-line no-control-regex -- separators are line breaks to Python
    const lines = self.split(/\r\n|[\n\r\v\f\u001C-\u001E\u0085\u2028\u2029]/)
    return lines.at(-1) === "" ? lines.slice(0, -1) : lines
  },
  join: (self, [parts]) => [...(parts as Iterable<unknown>)].map((part) => textual(part)).join(self),
  replace: (self, [old, by, most], { count = most }) => replaced(self, textual(old), textual(by), count),
  startswith: (self, [start]) => [start].flat().some((one) => self.startsWith(textual(one))),
  endswith: (self, [end]) => [end].flat().some((one) => self.endsWith(textual(one))),
  removeprefix: (self, [start]) => (self.startsWith(start) ? self.slice(start.length) : self),
  removesuffix: (self, [end]) => (end !== "" && self.endsWith(end) ? self.slice(0, -end.length) : self),
  find: (self, [part]) => place(self, part),
  rfind: (self, [part]) => place(self, part, true),
  index: (self, [part]) => found(place(self, part), self, part),
  rindex: (self, [part]) => found(place(self, part, true), self, part),
  count: (self, [part]) => (part === "" ? PythonText.length(self) + 1 : self.split(textual(part)).length - 1),
  partition: (self, [separator]) => parted(self, textual(separator), false),
  rpartition: (self, [separator]) => parted(self, textual(separator), true),
  zfill: (self, [width]) => {
    const [, sign = "", rest = ""] = /^([+-]?)(.*)$/s.exec(self) ?? []
    return sign + filled(rest, Number(width) - sign.length, "0", (gap) => gap)
  },
  ljust: (self, [width, fill]) => filled(self, width, fill, () => 0),
  rjust: (self, [width, fill]) => filled(self, width, fill, (gap) => gap),
  isdigit: (self) => every(self, /[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]/u),
  isdecimal: (self) => every(self, /\p{Nd}/u),
  isnumeric: (self) => every(self, /\p{N}/u),
  isalpha: (self) => every(self, letter),
  isalnum: (self) => every(self, /[\p{L}\p{N}]/u),
  isspace: (self) => self !== "" && PythonText.strip(self) === "",
  isupper: (self) => cased.test(self) && self === self.toUpperCase(),
  islower: (self) => cased.test(self) && self === self.toLowerCase(),
}

const textual = (value: unknown): string => {
  if (typeof value === "string") return value
  throw new Error(`expected a text, got ${python(value, true)}`)
}

/** Of lists and tuples. */
export const ofList: Readonly<Record<string, Method<ReadonlyArray<unknown>>>> = {
  index: (self, [part]) =>
    found(
      self.findIndex((item) => equal(item, part)),
      self,
      part,
    ),
  count: (self, [part]) => self.filter((item) => equal(item, part)).length,
}

type Table = Readonly<Record<string, unknown>>

/** Of dictionaries. */
export const ofTable: Readonly<Record<string, Method<Table>>> = {
  get: (self, [key, otherwise = null]) => (Object.hasOwn(self, String(key)) ? self[String(key)] : otherwise),
  items: (self) => Object.entries(self).map((entry) => Tuple.from(entry)),
  keys: (self) => Object.keys(self),
  values: (self) => Object.values(self),
}

/** Methods of texts, lists and dictionaries of Python that templates cannot call here. */
export const missing = new Set(
  "format format_map encode center expandtabs translate maketrans istitle isidentifier isprintable isascii append extend insert remove pop clear sort reverse copy update setdefault popitem fromkeys".split(
    " ",
  ),
)
