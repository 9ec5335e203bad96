/**
 * Filters: what is done to generated texts before they are scored. Each named filter gives metrics of its own.
 *
 * A filter is a chain of steps over the responses to one document. A step that takes one response leaves that text, and no
 * longer a list: what follows then works on its characters, as in the reference harness.
 */
import { entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { TaskError } from "../EvalError.ts"
import * as TaskConfig from "../tasks/TaskConfig.ts"
import * as Template from "../tasks/Template.ts"
import * as ChoiceFilter from "./ChoiceFilter.ts"
import * as PythonRegex from "./PythonRegex.ts"
import * as PythonText from "./PythonText.ts"
import * as Spans from "./Spans.ts"

/** What is left of responses: a text that was taken, or a list; the tags of a text are a list of their own. */
export type Kept = string | ReadonlyArray<Kept>

type Step = (responses: ReadonlyArray<Kept>, row: Template.Row) => Kept

export interface Filter {
  readonly name: string
  /** Columns of the document that have to be lists of texts. */
  readonly needs: ReadonlyArray<string>
  /** What is kept of the responses to a document. */
  readonly apply: (responses: ReadonlyArray<string>, row?: Template.Row) => Kept
}

/** The texts that are left to be scored. */
export const textsOf = (kept: Kept): ReadonlyArray<string> =>
  (typeof kept === "string" ? [kept] : kept).map((item) => Template.text(item))

type Arguments = Readonly<Record<string, unknown>>
/** A step from its arguments, or what is wrong with them. */
type Make = (arguments_: Arguments) => Result.Result<Step, string>

const each =
  (change: (text: string) => Kept): Step =>
  (responses) =>
    responses.map((response) => change(Template.text(response)))

const regex: Make = ({ fallback = "[invalid]", group_select: select = 0, regex_pattern: pattern }) => {
  if (typeof pattern !== "string") return Result.fail("regex needs a regex_pattern")
  if (typeof select !== "number") return Result.fail("group_select: expected a number")
  const none = String(fallback)
  return Result.map(PythonRegex.make(pattern), (expression) =>
    each((text) => {
      const match = PythonRegex.findAll(expression, text).at(select)
      if (match === undefined) return none
      const group = match.length === 1 ? match[0] : match.find((found) => found !== "")
      return PythonText.strip(group ?? none)
    }),
  )
}

const takeFirst: Step = ([first = ""]) => first

const majority: Step = (responses) => {
  const counts = Map.groupBy(responses, (text) => Template.text(text))
  const [most] = [...counts.values()].toSorted((a, b) => b.length - a.length)
  return most?.slice(0, 1) ?? []
}

const map: Make = ({ default_value: fallback = null, mapping_dict: table }) =>
  typeof table === "object" && table !== null
    ? Result.succeed(
        each((text) => Template.text(Object.hasOwn(table, text) ? (table as Arguments)[text] : fallback)),
      )
    : Result.fail("map needs a mapping_dict")

/** Tags of the tokens that a text lists as pairs, ('a', 'DET'); its expression is not looked at by the harness either. */
const tags: Make = ({ fallback = ["invalid"] }) => {
  const none = typeof fallback === "string" ? fallback : texts(fallback)
  if (none === undefined) return Result.fail("fallback: expected a text or a list of texts")
  return Result.succeed(
    each((text) => {
      const found = [...text.matchAll(/\('[^']*', '([^']*)'\)/g)].map(([, tag = ""]) => tag)
      return found.length === 0 ? none : found
    }),
  )
}

/** What a step is told; what is not named here would be ignored in silence. */
const takes: Readonly<Record<string, ReadonlyArray<string>>> = {
  regex: ["regex_pattern", "group_select", "fallback"],
  regex_pos: ["regex_pattern", "group_select", "fallback"],
  multi_choice_regex: ChoiceFilter.takes,
  map: ["mapping_dict", "default_value"],
  take_first_k: ["k"],
}

const choice: Make = (given) =>
  Result.map(ChoiceFilter.make(given), (choose): Step => (responses, row) => {
    const choices = texts(row[ChoiceFilter.column]) ?? []
    return responses.map((text) => choose(Template.text(text), choices))
  })

/** A list of texts, if it is one. */
export const texts = (value: unknown): ReadonlyArray<string> | undefined =>
  Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined

const steps: Readonly<Record<string, Make>> = {
  regex,
  regex_pos: tags,
  multi_choice_regex: choice,
  map,
  format_span: () => Result.succeed(each(Spans.format)),
  take_first: () => Result.succeed(takeFirst),
  take_first_k: ({ k }) =>
    typeof k === "number" && k >= 1
      ? Result.succeed((responses) => responses.slice(0, k))
      : Result.fail("take_first_k needs k ≥ 1"),
  majority_vote: () => Result.succeed(majority),
  remove_whitespace: () => Result.succeed(each(PythonText.strip)),
  lowercase: () => Result.succeed(each((text) => text.toLowerCase())),
  uppercase: () => Result.succeed(each((text) => text.toUpperCase())),
}

/** A filter from its entry in a task's file. */
export const make = Effect.fnUntraced(function* (
  file: string,
  entry: TaskConfig.Filter,
): Effect.fn.Return<Filter, TaskError> {
  const key = `filter_list.${entry.name}`
  const chain = yield* Effect.forEach(entry.filter, ({ filter_fn, function: name, ...rest }) => {
    // A filter of one's own is a class, or a function of the filter named custom.
    const python = (what: string, { function: path }: TaskConfig.FunctionName) => {
      const problem = `!function ${path} is a Python ${what}, which Hila does not run; there are ${Object.keys(steps).join(", ")}`
      return Effect.fail(new TaskError({ file, key, problem }))
    }
    if (typeof name !== "string") return python("class", name)
    if (filter_fn instanceof TaskConfig.FunctionName) return python("function", filter_fn)
    const given: Arguments = filter_fn === undefined ? rest : { ...rest, filter_fn }
    const known = Object.hasOwn(steps, name) ? steps[name] : undefined
    const taken: ReadonlyArray<string> = entryOr(takes, name, [])
    const unknown = Object.keys(given).find((argument) => !taken.includes(argument))
    const step =
      known === undefined
        ? Result.fail(`there is no filter ${name}; there are ${Object.keys(steps).join(", ")}`)
        : unknown === undefined
          ? known(given)
          : Result.fail(`${unknown}: unknown; ${name} takes ${taken.join(", ") || "no arguments"}`)
    return Effect.mapError(Effect.fromResult(step), (problem) => new TaskError({ file, key, problem }))
  })
  const readsChoices = entry.filter.some(({ function: name }) => name === "multi_choice_regex")
  return {
    name: entry.name,
    needs: readsChoices ? [ChoiceFilter.column] : [],
    apply: (responses, row = {}) =>
      chain.reduce<Kept>((kept, step) => step(typeof kept === "string" ? [...kept] : kept, row), responses),
  }
})
