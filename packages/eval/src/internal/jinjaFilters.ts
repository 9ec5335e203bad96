/**
 * Filters of Jinja2 over plain values, as Python's Jinja2 has them: of texts by code points, of other values through their
 * texts, numbers out of texts only where the whole text is one.
 */
import * as Result from "effect/Result"
import * as PythonRegex from "../metrics/PythonRegex.ts"
import * as PythonText from "../metrics/PythonText.ts"
import type { Arguments } from "./jinjaValues.ts"
import { float, Float, isFloat, isNumber, python, Tuple } from "./python.ts"
import { dump } from "./pythonJson.ts"
import { capitalize, ofText, stripped } from "./pythonMethods.ts"
import { apply, compare, equal } from "./pythonOperators.ts"
import { nearest } from "./suggestion.ts"

type Filter = (value: unknown, positional: ReadonlyArray<any>, named: Arguments["named"]) => unknown

const isTable = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Float)

/** The elements of a list, the characters of a text, the keys of a dictionary. */
const items = (value: unknown): ReadonlyArray<unknown> => {
  if (Array.isArray(value)) return value
  if (typeof value === "string") return [...value]
  if (isTable(value)) return Object.keys(value)
  throw new Error(`${python(value, true)} is no list`)
}

/** An element's value under a path of keys, such as `a.b`. */
const under = (item: unknown, path: unknown): unknown =>
  String(path)
    .split(".")
    .reduce<unknown>((value, key) => {
      const found = Array.isArray(value) ? value[Number(key)] : isTable(value) ? value[key] : undefined
      if (found === undefined) throw new Error(`${python(value, true)} has no ${key}`)
      return found
    }, item)

const caseless = (value: unknown, sensitive: unknown) =>
  typeof value === "string" && sensitive !== true ? value.toLowerCase() : value

const numberIn = (text: string): number | undefined => {
  const plain = PythonText.strip(text).replaceAll(/(?<=\d)_(?=\d)/g, "")
  return /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(plain) ? Number(plain) : undefined
}

const toInteger = (value: unknown, otherwise: unknown): unknown => {
  const found = typeof value === "string" ? numberIn(value) : value
  if (typeof found === "bigint") return found
  if (typeof found === "boolean") return Number(found)
  return isNumber(found) ? Math.trunc(Number(found)) : otherwise
}

const toFloat = (value: unknown, otherwise: unknown): unknown => {
  const found = typeof value === "string" ? numberIn(value) : value
  return isNumber(found) || typeof found === "boolean" ? float(Number(found)) : otherwise
}

/** To the nearest, halves to the even one, as Python rounds what is exactly between. */
const rounded = (value: number, digits: number, how: unknown): number => {
  if (how === "ceil") return Math.ceil(value * 10 ** digits) / 10 ** digits
  if (how === "floor") return Math.floor(value * 10 ** digits) / 10 ** digits
  if (digits > 0) return Number(value.toFixed(digits))
  const scaled = value / 10 ** -digits
  const down = Math.floor(scaled)
  const near = scaled - down === 0.5 ? down + (down % 2 === 0 ? 0 : 1) : Math.round(scaled)
  return near * 10 ** -digits
}

const sorted = (value: unknown, reverse: unknown, sensitive: unknown, attribute: unknown) => {
  const key = (item: unknown) =>
    caseless(attribute === undefined || attribute === null ? item : under(item, attribute), sensitive)
  const list = items(value).toSorted((a, b) => (reverse === true ? -1 : 1) * compare(key(a), key(b)))
  return list
}

const extreme = (value: unknown, sign: number) =>
  items(value).reduce((best, item) =>
    sign * compare(caseless(item, false), caseless(best, false)) > 0 ? item : best,
  )

const asText =
  (method: string): Filter =>
  (value, positional, named) =>
    ofText[method]?.(python(value), positional, named)

/** JSON that may stand in HTML, keys in order. */
const tojson: Filter = (value, [indent], { indent: spaces = indent }) => {
  const inOrder = (one: unknown): unknown => {
    if (Array.isArray(one)) return one.map(inOrder)
    if (!isTable(one)) return one
    return Object.fromEntries(
      Object.entries(one)
        .toSorted(([a], [b]) => compare(a, b))
        .map(([key, item]) => [key, inOrder(item)]),
    )
  }
  return dump(inOrder(value), typeof spaces === "number" ? spaces : undefined).replaceAll(
    /[<>&'\x7f-\uffff]/g,
    (one) => (one === "\x7f" ? one : `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`),
  )
}

/** By their names. `default` is the engine's own business, which knows what is undefined. */
export const table: Readonly<Record<string, Filter>> = {
  abs: (value) => (isFloat(value) ? float(Math.abs(Number(value))) : Math.abs(Number(value))),
  attr: (value, [name]) => under(value, name),
  capitalize: (value) => capitalize(python(value)),
  count: (value) => items(value).length,
  dictsort: (
    value,
    [sensitive, by, reverse],
    { by: key = by ?? "key", case_sensitive = sensitive, reverse: turned = reverse },
  ) => sorted(ofEntries(value), turned, case_sensitive, key === "value" ? 1 : 0),
  first: (value) => items(value)[0],
  float: (value, [otherwise = float(0)], { default: given = otherwise }) => toFloat(value, given),
  int: (value, [otherwise = 0], { default: given = otherwise }) => toInteger(value, given),
  items: (value) => ofEntries(value),
  join: (value, [between = "", attribute], { attribute: path = attribute, d = between }) =>
    items(value)
      .map((item) => python(path === undefined || path === null ? item : under(item, path)))
      .join(String(d)),
  last: (value) => items(value).at(-1),
  length: (value) => items(value).length,
  list: (value) => [...items(value)],
  lower: asText("lower"),
  map: (value, [name, ...rest], { attribute, default: otherwise, ...named }) =>
    items(value).map((item) => {
      if (attribute === undefined) return filter(String(name))(item, rest, named)
      try {
        return under(item, attribute)
      } catch (cause) {
        if (otherwise === undefined) throw cause
        return otherwise
      }
    }),
  max: (value) => extreme(value, 1),
  min: (value) => extreme(value, -1),
  // The harness's own: the regular expressions of Python's.
  regex_replace: (
    value,
    [given, replacement, most = 0],
    { count = most, pattern = given, repl = replacement },
  ) => {
    const expression = PythonRegex.make(String(pattern))
    if (Result.isFailure(expression)) throw new Error(`regex_replace: ${expression.failure}`)
    return PythonRegex.substitute(expression.success, python(value), String(repl), Number(count))
  },
  replace: (value, positional, named) => ofText["replace"]?.(python(value), positional, named),
  reverse: (value) =>
    typeof value === "string" ? [...value].toReversed().join("") : items(value).toReversed(),
  round: (value, [digits = 0, how = "common"], { method = how, precision = digits }) => {
    if (!isNumber(value)) throw new Error(`${python(value, true)} is no number`)
    const near = rounded(Number(value), Number(precision), method)
    return isFloat(value) || method !== "common" ? float(near) : near
  },
  safe: (value) => value,
  sort: (
    value,
    [reverse, sensitive, attribute],
    { attribute: path = attribute, case_sensitive = sensitive, reverse: turned = reverse },
  ) => sorted(value, turned, case_sensitive, path),
  string: (value) => python(value),
  sum: (value, [attribute, start = 0], { attribute: path = attribute, start: first = start }) =>
    items(value).reduce(
      (sum, item) => apply("+", sum, path === undefined || path === null ? item : under(item, path)),
      first,
    ),
  title: (value) =>
    python(value)
      .split(/([-\s({[<]+)/)
      .map((part) => capitalize(part))
      .join(""),
  tojson,
  trim: (value, [set], { chars = set }) => stripped(python(value), chars),
  unique: (value, [sensitive], { case_sensitive = sensitive }) =>
    items(value).filter(
      (item, i, all) =>
        all.findIndex((other) => equal(caseless(other, case_sensitive), caseless(item, case_sensitive))) ===
        i,
    ),
  upper: asText("upper"),
  wordcount: (value) => python(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0,
}

const ofEntries = (value: unknown): ReadonlyArray<unknown> =>
  isTable(value) ? Object.entries(value).map((entry) => Tuple.from(entry)) : items(value)

/** Filters that the template engine has itself, and as Python has them. */
export const engines = new Set(["default", "d", "indent", "selectattr", "rejectattr"])

/** The filter of that name; throws where there is none. */
export const filter = (name: string): Filter => {
  const found = Object.hasOwn(table, name) ? table[name] : undefined
  if (found !== undefined) return found
  const near = nearest(name, [...Object.keys(table), ...engines])
  throw new Error(`there is no filter ${name}${near === undefined ? "" : `; did you mean ${near}?`}`)
}
