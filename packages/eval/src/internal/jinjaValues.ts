/**
 * Values of the template engine and plain ones, each made from the other. The engine knows integers from floats and lists
 * from tuples; its classes are not exported, so they are taken from values it makes.
 */
// oxlint-disable-next-line no-restricted-imports -- a template engine, no model runtime
import { Environment } from "@huggingface/jinja"
import { float, isFloat, python, Tuple } from "./python.ts"

const made = (value: unknown): any => new Environment().set("value", value)
const classOf = (value: unknown): any => made(value).constructor
const IntegerValue = classOf(1)
const FloatValue = classOf(0.5)
const ListValue = classOf([])
const TableValue = classOf({})
const MethodValue = classOf(() => null)
const NothingValue = classOf(undefined)

/** Prints as nothing wherever it goes: an inline `if` that is false and has no `else`. */
export class Silence extends NothingValue {
  quiet = true
}

/** A value of the engine's from a plain one. */
export const valueOf = (value: unknown): any => {
  if (isFloat(value)) return new FloatValue(Number(value))
  if (typeof value === "bigint") return new IntegerValue(value)
  if (Array.isArray(value)) {
    const list = new ListValue(Array.from(value, valueOf))
    if (value instanceof Tuple) list.type = "TupleValue"
    return list
  }
  if (typeof value !== "object" || value === null) return made(value)
  return new TableValue(new Map(Object.entries(value).map(([key, item]) => [key, valueOf(item)])))
}

/** The plain value of one of the engine's. */
export const plain = (value: any): unknown => {
  switch (value.type) {
    case "ArrayValue":
      return value.value.map(plain)
    case "TupleValue":
      return Tuple.from(value.value.map(plain))
    case "ObjectValue":
    case "KeywordArgumentsValue":
      return Object.fromEntries(
        [...value.value].map(([key, element]: [string, any]) => [key, plain(element)]),
      )
    case "FloatValue":
      return float(value.value)
    case "NullValue":
      return null
    case "UndefinedValue":
      return undefined
    case "FunctionValue":
      throw new Error("a method is used without being called")
    default:
      return value.value
  }
}

/** Arguments of a call: those by position, and those by name. */
export interface Arguments {
  readonly positional: ReadonlyArray<unknown>
  readonly named: Readonly<Record<string, unknown>>
}

/** A method as a value, over plain arguments. */
export const method = (call: (given: Arguments) => unknown): any =>
  new MethodValue((values: ReadonlyArray<any>) => {
    const last = values.at(-1)
    const keywords = last?.type === "KeywordArgumentsValue"
    return valueOf(
      call({
        positional: (keywords ? values.slice(0, -1) : values).map(plain),
        named: (keywords ? plain(last) : {}) as Arguments["named"],
      }),
    )
  })

/** What a value is printed as. */
export const printed = (value: any): string => (value.quiet === true ? "" : python(plain(value)))
