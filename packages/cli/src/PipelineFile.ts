/**
 * Pipeline files: TypeScript modules whose default export is a pipeline.
 *
 * Loading one runs it, so anything may go wrong in it; each mistake becomes one line that says where it is.
 */
import { Pipeline } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readdir, stat } from "node:fs/promises"
import { dirname, extname, relative, resolve } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { PipelineFileError } from "./CliError.ts"
import { blameOf, oneLine } from "./Failure.ts"

/** The pipeline that the file at `path` exports, `path` being relative to the working directory. */
export const load = Effect.fnUntraced(function* (path: string) {
  const url = pathToFileURL(resolve(path)).href
  const found = yield* Effect.promise(() => stat(resolve(path)).catch(() => undefined))
  if (found === undefined)
    return yield* mistake(path, `there is no such file${yield* Effect.promise(() => others(path))}`)
  if (!found.isFile()) return yield* mistake(path, "is not a file: name the pipeline's .ts file")
  if (![".ts", ".mts", ".js", ".mjs"].includes(extname(path)))
    return yield* mistake(path, "is not a TypeScript module: name the pipeline's .ts file")
  const module: { readonly default?: unknown } = yield* Effect.tryPromise({
    try: () => import(url),
    catch: (cause) =>
      new PipelineFileError({ place: place(path, url, cause), problem: problem(cause), cause }),
  })
  if (!("default" in module)) {
    return yield* mistake(path, "has no default export: end it with `export default Pipeline.make({ … })`")
  }
  if (!Pipeline.isPipeline(module.default)) {
    return yield* mistake(
      path,
      "its default export is not a pipeline: export what `Pipeline.make({ … })` returns",
    )
  }
  if (!Layer.isLayer(module.default.layer)) {
    return yield* mistake(
      path,
      "its pipeline has no layer: give it the services of its stages, or Layer.empty",
    )
  }
  return module.default
})

/** What there is instead of a file: its neighbours, or where paths start. */
const others = async (path: string): Promise<string> => {
  const names = await readdir(dirname(resolve(path))).catch((): ReadonlyArray<string> => [])
  const files = names.filter((name) => name.endsWith(".ts") && !name.endsWith(".config.ts")).toSorted()
  const some = files.length > 12 ? [...files.slice(0, 12), "…"] : files
  return files.length === 0
    ? `; paths start from ${process.cwd()}`
    : `; ${dirname(path)} has ${some.join(", ")}`
}

const mistake = (place: string, problem: string) => new PipelineFileError({ place, problem })

/** Path and line of a mistake: in the pipeline file itself if the stack passes there, else in a file it imports. */
const place = (path: string, url: string, cause: unknown): string => {
  const stack = cause instanceof Error ? (cause.stack ?? "") : ""
  const frames = [...stack.matchAll(/(file:\/\/[^\s)]+?):(\d+)(?=[:\s)]|$)/g)]
  const frame =
    frames.find(([, file]) => file === url) ??
    frames.find(([, file]) => file !== import.meta.url && file?.includes("/node_modules/") === false)
  const [, file, line] = frame ?? []
  if (file === undefined) return path
  return `${file === url ? path : relative(process.cwd(), fileURLToPath(file))}:${line}`
}

const problem = (cause: unknown): string => {
  const text = cause instanceof Error ? oneLine(cause.message) : oneLine(String(cause))
  if (cause instanceof SyntaxError) return `syntax error: ${text}`
  // An error of Hila's own, such as a stage called with a wrong parameter, already says what to do.
  return blameOf(cause) === undefined && codeOf(cause) !== "ERR_MODULE_NOT_FOUND"
    ? `threw while loading: ${text}`
    : text
}

const codeOf = (cause: unknown): unknown =>
  cause instanceof Error && "code" in cause ? cause.code : undefined
