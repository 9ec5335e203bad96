/**
 * Reading task files: YAML with `include:` and `!function`.
 *
 * `include:` names one file or several, relative to the including one; the including file's own keys win. A
 * `!function` becomes a name; which names there are is known elsewhere.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { TaskError } from "../EvalError.ts"
import { float } from "../internal/python.ts"
import { FunctionName } from "./TaskConfig.ts"

/** A kind of plain scalar by the pattern of PyYAML, YAML 1.1 as the reference harness reads it. */
const scalar = (tag: string, test: RegExp, resolve: (text: string) => unknown) => ({
  tag: `tag:yaml.org,2002:${tag}`,
  default: true as const,
  test,
  resolve,
})

/** An integer: binary, octal by a zero in front, hexadecimal, parts of sixty with colons, underscores anywhere. */
const integerOf = (text: string): number => {
  const plain = text.replaceAll("_", "").replace(/^\+/, "")
  const [sign, digits] = plain.startsWith("-") ? [-1, plain.slice(1)] : [1, plain]
  if (digits.includes(":")) return sign * digits.split(":").reduce((sum, part) => sum * 60 + Number(part), 0)
  return sign * Number(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits)
}

const floatOf = (text: string): number => {
  const plain = text.replaceAll("_", "").toLowerCase()
  if (plain.endsWith("nan")) return Number.NaN
  return Number(plain.replace(".inf", "Infinity"))
}

const tags = [
  { tag: "!function", resolve: (text: string) => new FunctionName({ function: text.trim() }) },
  scalar("null", /^(?:~|null|Null|NULL|)$/, () => null),
  scalar("bool", /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/, () => true),
  scalar("bool", /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/, () => false),
  scalar(
    "int",
    /^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][\d_]*|0x[\da-fA-F_]+|[1-9][\d_]*(?::[0-5]?\d)+)$/,
    integerOf,
  ),
  scalar(
    "float",
    /^(?:[-+]?\d[\d_]*\.[\d_]*(?:[eE][-+]\d+)?|\.\d[\d_]*(?:[eE][-+]\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
    floatOf,
  ),
]

/** Where the file lies that goes by a path; a store keeps files under other names. */
export type Place = (path: string) => string

/** The content of a YAML file, without its includes. */
const readYaml = Effect.fnUntraced(function* (file: string, place: Place, including: string | undefined) {
  const text = yield* Effect.tryPromise({
    try: () => readFile(place(file), "utf8"),
    catch: () =>
      including === undefined
        ? new TaskError({ file, problem: "cannot be read: is the path right?" })
        : new TaskError({ file: including, key: "include", problem: `there is no ${file} that can be read` }),
  })
  const { isCollection, LineCounter, parseDocument, visit } = yield* Effect.promise(() => import("yaml"))
  const lineCounter = new LineCounter()
  const document = parseDocument(text, {
    schema: "failsafe",
    customTags: tags,
    // Of a repeated key the last counts, and what an anchor holds may be merged in.
    uniqueKeys: false,
    merge: true,
    lineCounter,
  })
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) {
    const { line } = lineCounter.linePos(problem.pos[0])
    const [message = ""] = problem.message.split("\n")
    return yield* new TaskError({ file: `${file}:${line}`, problem: message.replace(/ at line.*$/, "") })
  }
  // Rows of shots are documents, so their floats stay floats: 18.0 is written as it stands.
  const samples = document.getIn(["fewshot_config", "samples"], true)
  if (isCollection(samples)) {
    visit(samples, {
      Scalar: (_, node) => {
        if (typeof node.value === "number" && node.source?.includes(".") === true)
          node.value = float(node.value)
      },
    })
  }
  const content: unknown = document.toJS()
  return content
})

type Content = Readonly<Record<string, unknown>>

/** The content of a task file with everything it includes. */
export const read = Effect.fnUntraced(function* (
  file: string,
  place: Place = (path) => path,
  including: ReadonlyArray<string> = [],
): Effect.fn.Return<Content, TaskError> {
  if (including.includes(file)) {
    return yield* new TaskError({
      file,
      key: "include",
      problem: `goes in a circle: ${including.join(" → ")}`,
    })
  }
  const content = yield* readYaml(file, place, including.at(-1))
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    return yield* new TaskError({
      file,
      problem: "expected the keys of a task, such as task: and dataset_path:",
    })
  }
  const { include, ...own } = content as Content
  if (include === undefined) return own
  const files = Array.isArray(include) ? include : [include]
  const contents: Array<Content> = []
  for (const name of files) {
    if (typeof name !== "string") {
      return yield* new TaskError({ file, key: "include", problem: "expected a file's name" })
    }
    contents.push(yield* read(resolve(dirname(file), name), place, [...including, file]))
  }
  return Object.assign({}, ...contents, own) as Content
})
