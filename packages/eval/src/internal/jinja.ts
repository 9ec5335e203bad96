/**
 * The template engine with Python's manners: undefined names are errors, None prints as None, lists as Python lists.
 *
 * The engine prints nothing for what is undefined, which would turn a misspelt column into a shorter prompt. Its
 * evaluation methods are public at run time though not in its types, hence the one `any` of the package.
 */
// oxlint-disable-next-line no-restricted-imports -- a template engine, no model runtime
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja"
import { float, isFloat, python, type Row, Undefined } from "./python.ts"

const IntegerValue: any = new Environment().set("integer", 1).constructor
const FloatValue: any = new Environment().set("float", 0.5).constructor
const ListValue: any = new Environment().set("list", []).constructor
const TableValue: any = new Environment().set("table", {}).constructor

/** A plain value as one of the engine's, which knows floats from integers. */
const valueOf = (value: unknown): any => {
  if (isFloat(value)) return new FloatValue(Number(value))
  if (typeof value === "bigint") return new IntegerValue(value)
  if (Array.isArray(value)) return new ListValue(value.map(valueOf))
  if (typeof value !== "object" || value === null) return new Environment().set("value", value)
  return new TableValue(new Map(Object.entries(value).map(([key, item]) => [key, valueOf(item)])))
}

/** Variables of a row, converted when they are first used: a document may be long and a template short. */
class Variables extends (Environment as new () => any) {
  constructor(row: Row) {
    super()
    const own: Map<string, unknown> = this.variables
    this.resolve = (name: string) => {
      if (!own.has(name)) {
        if (Object.hasOwn(row, name)) own.set(name, valueOf(row[name]))
        else if (Object.hasOwn(globals, name)) this.set(name, globals[name])
        else throw new Undefined(name)
      }
      return this
    }
  }
}

const globals: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range: (...bounds: ReadonlyArray<number>) => {
    const [start, stop, step] =
      bounds.length === 1 ? [0, bounds[0] ?? 0, 1] : [bounds[0] ?? 0, bounds[1] ?? 0, bounds[2] ?? 1]
    const numbers: Array<number> = []
    for (let i = start; step > 0 ? i < stop : i > stop; i += step) numbers.push(i)
    return numbers
  },
}

/** The plain value of one of the engine's. */
const plain = (value: any): unknown => {
  switch (value.type) {
    case "ArrayValue":
    case "TupleValue":
    case "KeywordArgumentsValue":
      return Array.isArray(value.value) ? value.value.map(plain) : value.value
    case "ObjectValue":
      return Object.fromEntries(
        [...value.value].map(([key, element]: [string, any]) => [key, plain(element)]),
      )
    case "FloatValue":
      return float(value.value)
    case "NullValue":
    case "UndefinedValue":
      return null
    default:
      return value.value
  }
}

const silent = new Set(["Set", "Macro", "Comment", "Break", "Continue"])

/** Methods of Python's lists and strings that the engine lacks and task files use. */
const methods: Readonly<Record<string, (self: any, argument: any) => unknown>> = {
  index: (self, argument) => {
    const at = self.indexOf(argument)
    if (at < 0) throw new Error(`${python(argument, true)} is not in ${python(self, true)}`)
    return at
  },
  find: (self, argument) => self.indexOf(argument),
  count: (self, argument) =>
    typeof self === "string"
      ? self.split(argument).length - 1
      : self.filter((element: unknown) => element === argument).length,
  isdigit: (self) => /^\d+$/.test(self),
  removeprefix: (self, argument) => (self.startsWith(argument) ? self.slice(argument.length) : self),
  removesuffix: (self, argument) => (self.endsWith(argument) ? self.slice(0, -argument.length) : self),
}

/** Undefined is an error everywhere but where a template asks whether a value is defined, or gives a default. */
class Strict extends (Interpreter as new (environment: any) => any) {
  lenient = false

  leniently(on: boolean, evaluate: () => unknown): unknown {
    const before = this.lenient
    this.lenient = before || on
    try {
      return evaluate()
    } finally {
      this.lenient = before
    }
  }

  evaluateIdentifier(node: any, environment: any): any {
    const value = super.evaluateIdentifier(node, environment)
    if (value.type === "UndefinedValue" && !this.lenient) throw new Undefined(node.value)
    return value
  }

  evaluateMemberExpression(node: any, environment: any): any {
    const value = super.evaluateMemberExpression(node, environment)
    if (value.type !== "UndefinedValue") return value
    const method = node.computed ? undefined : methods[node.property.value]
    if (method !== undefined) {
      const self = plain(this.evaluate(node.object, environment))
      if (typeof self === "string" || Array.isArray(self)) {
        return new Environment().set(node.property.value, (argument: unknown) => method(self, argument))
      }
    }
    if (!this.lenient) {
      const property = node.computed ? plain(this.evaluate(node.property, environment)) : node.property.value
      throw new Undefined(`${node.object.value ?? "value"}.${String(property)}`)
    }
    return value
  }

  evaluateTestExpression(node: any, environment: any): any {
    const asks = node.test.value === "defined" || node.test.value === "undefined"
    return this.leniently(asks, () => super.evaluateTestExpression(node, environment))
  }

  evaluateFilterExpression(node: any, environment: any): any {
    const filter = node.filter.value ?? node.filter.callee?.value
    const gives = filter === "default" || filter === "d"
    return this.leniently(gives, () => super.evaluateFilterExpression(node, environment))
  }

  evaluateBlock(statements: ReadonlyArray<any>, environment: any): any {
    let text = ""
    let result: any
    for (const statement of statements) {
      result = this.evaluate(statement, environment)
      if (silent.has(statement.type)) continue
      text += result.type === "FunctionValue" ? String(result) : python(plain(result))
    }
    return this.evaluate({ type: "StringLiteral", value: text }, environment)
  }
}

/** A template that has been read. */
export type Program = unknown

/** Reads a template; throws what is wrong with it. */
export const compile = (source: string): Program =>
  // The engine drops one newline at the end, as Jinja does unless told to keep it.
  parse(tokenize(source.endsWith("\n") ? `${source}\n` : source))

/** The text of a template for a row; throws `Undefined` or the engine's error. */
export const render = (program: Program, row: Row): string =>
  new Strict(new Variables(row)).run(program).value
