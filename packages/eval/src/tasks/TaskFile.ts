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
import { FunctionName } from "./TaskConfig.ts"

const functionTag = {
  tag: "!function",
  resolve: (text: string) => new FunctionName({ function: text.trim() }),
}

/** `yes` and `no` are booleans in the YAML that the reference harness reads, as they were before YAML 1.2. */
const booleans = [
  { test: /^(?:yes|Yes|YES|on|On|ON)$/, value: true },
  { test: /^(?:no|No|NO|off|Off|OFF)$/, value: false },
].map(({ test, value }) => ({
  tag: "tag:yaml.org,2002:bool",
  default: true as const,
  test,
  resolve: () => value,
}))

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
  const { LineCounter, parseDocument } = yield* Effect.promise(() => import("yaml"))
  const lineCounter = new LineCounter()
  const document = parseDocument(text, { customTags: [functionTag, ...booleans], lineCounter })
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) {
    const { line } = lineCounter.linePos(problem.pos[0])
    const [message = ""] = problem.message.split("\n")
    return yield* new TaskError({ file: `${file}:${line}`, problem: message.replace(/ at line.*$/, "") })
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
