/**
 * The template engine with Python's manners: undefined names are errors, values are printed, compared and joined as
 * Python does, methods and filters are Python's.
 *
 * The engine prints nothing for what is undefined, which would turn a misspelt column into a shorter prompt, and knows
 * JavaScript's texts and numbers. Its evaluation methods are public at run time though not in its types, hence the `any`.
 */
// oxlint-disable-next-line no-restricted-imports -- a template engine, no model runtime
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja"
import * as Filters from "./jinjaFilters.ts"
import { method, plain, printed, Silence, valueOf } from "./jinjaValues.ts"
import { type Row, Undefined } from "./python.ts"
import * as Methods from "./pythonMethods.ts"
import * as Operators from "./pythonOperators.ts"

/** Variables of a row, converted when they are first used: a document may be long and a template short. */
class Variables extends (Environment as new () => any) {
  constructor(row: Row) {
    super()
    const own: Map<string, unknown> = this.variables
    this.resolve = (name: string) => {
      if (!own.has(name)) {
        if (Object.hasOwn(row, name)) own.set(name, valueOf(row[name]))
        else if (Object.hasOwn(globals, name)) own.set(name, globals[name])
        else throw new Undefined(name)
      }
      return this
    }
  }
}

const range = (bounds: ReadonlyArray<unknown>): ReadonlyArray<number> => {
  const [first = 0, second, step = 1] = bounds.map(Number)
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  if (step === 0) throw new Error("range() goes in steps of 0")
  const numbers: Array<number> = []
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) numbers.push(i)
  return numbers
}

const globals: Readonly<Record<string, unknown>> = {
  true: valueOf(true),
  True: valueOf(true),
  false: valueOf(false),
  False: valueOf(false),
  none: valueOf(null),
  None: valueOf(null),
  range: method(({ positional }) => range(positional)),
}

const silent = new Set(["Set", "Macro", "Comment", "Break", "Continue"])

/** The method of that name of a plain value. */
const methodOf = (self: unknown, name: string) => {
  const own = <A>(table: Readonly<Record<string, A>>) =>
    Object.hasOwn(table, name) ? table[name] : undefined
  if (typeof self === "string") return own(Methods.ofText)
  return Array.isArray(self) ? own(Methods.ofList) : own(Methods.ofTable)
}

const having = new Set(["StringValue", "ArrayValue", "TupleValue", "ObjectValue"])

/** A node that stands for a value that is there already. */
const evaluated = (value: unknown) => ({ type: "Evaluated", value })

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

  evaluate(node: any, environment: any): any {
    return node?.type === "Evaluated" ? node.value : super.evaluate(node, environment)
  }

  evaluateIdentifier(node: any, environment: any): any {
    const value = super.evaluateIdentifier(node, environment)
    if (value.type === "UndefinedValue" && !this.lenient && !(value instanceof Silence))
      throw new Undefined(node.value)
    return value
  }

  evaluateMemberExpression(node: any, environment: any): any {
    const object = this.evaluate(node.object, environment)
    const name = node.computed ? undefined : String(node.property.value)
    if (
      name !== undefined &&
      having.has(object.type) &&
      !(object.type === "ObjectValue" && object.value.has(name))
    ) {
      const self = plain(object)
      const found = methodOf(self, name) as ((...given: ReadonlyArray<unknown>) => unknown) | undefined
      if (found !== undefined) return method(({ named, positional }) => found(self, positional, named))
      if (Methods.missing.has(name)) throw new Error(`the method ${name} cannot be called here`)
    }
    const property =
      node.computed && node.property.type !== "SliceExpression"
        ? this.evaluate(node.property, environment)
        : undefined
    if (object.type === "StringValue" && property?.type === "IntegerValue") {
      const character = [...object.value].at(property.value)
      if (character !== undefined) return valueOf(character)
    }
    const reached = property === undefined ? node : { ...node, property: evaluated(property) }
    const value = super.evaluateMemberExpression({ ...reached, object: evaluated(object) }, environment)
    if (value.type === "UndefinedValue" && !this.lenient) {
      throw new Undefined(`${node.object.value ?? "value"}.${name ?? String(plain(property))}`)
    }
    return value
  }

  evaluateBinaryExpression(node: any, environment: any): any {
    const operator: string = node.operator.value
    const left = this.evaluate(node.left, environment)
    if (operator === "and" || operator === "or") {
      return super.evaluateBinaryExpression({ ...node, left: evaluated(left) }, environment)
    }
    const right = this.evaluate(node.right, environment)
    if (operator === "~") return valueOf(printed(left) + printed(right))
    return valueOf(Operators.apply(operator, plain(left), plain(right)))
  }

  evaluateSelectExpression(node: any, environment: any): any {
    const holds = this.evaluate(node.test, environment).__bool__().value
    return holds ? this.evaluate(node.lhs, environment) : new Silence()
  }

  evaluateTestExpression(node: any, environment: any): any {
    const asks = node.test.value === "defined" || node.test.value === "undefined"
    return this.leniently(asks, () => super.evaluateTestExpression(node, environment))
  }

  evaluateFilterExpression(node: any, environment: any): any {
    const name: string = node.filter.value ?? node.filter.callee?.value
    if (name === "default" || name === "d") {
      const filter =
        node.filter.type === "CallExpression" ? node.filter : { type: "CallExpression", args: [] }
      const callee = { type: "Identifier", value: "default" }
      const operand = this.leniently(true, () => this.evaluate(node.operand, environment))
      return super.applyFilter(operand, { ...filter, callee }, environment)
    }
    const operand = this.evaluate(node.operand, environment)
    return this.applyFilter(operand, node.filter, environment)
  }

  applyFilter(operand: any, filter: any, environment: any): any {
    const name: string = filter.value ?? filter.callee?.value
    if (Filters.engines.has(name)) return super.applyFilter(operand, filter, environment)
    const [positional, named] = this.evaluateArguments(filter.args ?? [], environment)
    const given = Object.fromEntries([...named].map(([key, value]: [string, any]) => [key, plain(value)]))
    const value = Filters.filter(name)(plain(operand), positional.map(plain), given)
    if (value === undefined && !this.lenient) throw new Undefined(`value|${name}`)
    return valueOf(value)
  }

  evaluateFor(node: any, environment: any): any {
    if (node.iterable.type === "SelectExpression") return super.evaluateFor(node, environment)
    const value = this.evaluate(node.iterable, environment)
    const unpacks = node.loopvar.type === "TupleLiteral"
    const list =
      value.type === "StringValue"
        ? valueOf([...value.value])
        : unpacks && Array.isArray(value.value)
          ? valueOf(
              value.value.map((item: any) =>
                item.type === "TupleValue" ? item.value.map(plain) : plain(item),
              ),
            )
          : value
    return super.evaluateFor({ ...node, iterable: evaluated(list) }, environment)
  }

  evaluateBlock(statements: ReadonlyArray<any>, environment: any): any {
    let text = ""
    for (const statement of statements) {
      const result = this.evaluate(statement, environment)
      if (!silent.has(statement.type)) text += printed(result)
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
