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
import * as Yaml from "./Yaml.ts"

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
  return yield* Yaml.parse(file, text)
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
