/**
 * Options of a pipeline, as its `build` reads them: what is misspelt there is told by name, as a misspelt `--set` is.
 *
 * The compiler refuses what is refused here, but a pipeline file is run without being compiled, and an option that is not
 * there would only show as a property of undefined, somewhere further down.
 */
import { fileURLToPath } from "node:url"
import { relative } from "node:path"
import { PipelineError } from "../CoreError.ts"
import { isNode, what } from "./inputs.ts"
import { nearest } from "./suggestion.ts"

/** What to say of an option that a pipeline does not have. */
export const unknownOption = (name: string, known: ReadonlyArray<string>): string => {
  const meant = nearest(name, known)
  const hint = meant === undefined ? "; " : `, did you mean "${meant}"? `
  return `unknown option "${name}"${hint}${known.length === 0 ? "it takes none" : `it takes ${known.join(", ")}`}`
}

/** The values of options; reading another throws a `PipelineError`. */
export const guarded = (
  pipeline: string,
  values: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> =>
  new Proxy(values, {
    get: (own, name) => {
      // What every object has is asked for by those who print or copy it.
      if (typeof name === "symbol" || name in own || name === "toJSON") return Reflect.get(own, name)
      const problem = `build reads an ${unknownOption(name, Object.keys(own))}`
      throw new PipelineError({ pipeline, problem })
    },
  })

/** Throws a `PipelineError` unless every option was made by `Pipeline.option`. */
export const checkOptions = (pipeline: string, options: Readonly<Record<string, unknown>>): void => {
  for (const [name, option] of Object.entries(options)) {
    if (typeof option === "object" && option !== null && "schema" in option && "default" in option) continue
    const problem = `option "${name}" is ${what(option)}; write Pipeline.option(schema, default, description)`
    throw new PipelineError({ pipeline, problem })
  }
}

/** Throws a `PipelineError` unless what `build` returned is nodes by name. */
export const checkOutputs = (pipeline: string, built: unknown): void => {
  const refuse = (place: string, got: unknown): never => {
    const problem = `${place} is ${what(got)}; build returns nodes by name, such as { merged }`
    throw new PipelineError({ pipeline, problem })
  }
  if (typeof built !== "object" || built === null || isNode(built)) return refuse("what build returns", built)
  for (const [name, node] of Object.entries(built)) if (!isNode(node)) refuse(`output "${name}"`, node)
}

/** Where an error was thrown, outside of packages and of this one: ` (pipelines/mine.ts:12)`; empty where that is not told. */
export const placeOf = (cause: unknown): string => {
  const stack = cause instanceof Error ? (cause.stack ?? "") : ""
  const frames = [...stack.matchAll(/(?:\(|at )((?:file:\/\/|\/|[A-Z]:\\)[^\n()]*?):(\d+):\d+/g)].map(
    ([, place = "", line]) => ({ line, file: place.startsWith("file://") ? fileURLToPath(place) : place }),
  )
  const own = fileURLToPath(new URL("../", import.meta.url))
  const frame = frames.find(({ file }) => !file.startsWith(own) && !file.includes("node_modules"))
  return frame === undefined ? "" : ` (${relative(process.cwd(), frame.file)}:${frame.line})`
}
