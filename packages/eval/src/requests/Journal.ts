/**
 * The journal: every answer by the digest of its request, appended as soon as it is there.
 *
 * A run that was killed leaves a journal, and the next run asks only what is missing. A last line that was cut off is
 * ignored and overwritten in effect, since a new line begins before the next answer.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { appendFile, mkdir, readFile } from "node:fs/promises"
import { dirname } from "node:path"
import { ResultsError } from "../EvalError.ts"
import type { Answer } from "./Request.ts"

export interface Journal {
  /** The answer of an earlier run, or of this one. */
  readonly find: (digest: string) => Answer | undefined
  readonly append: (answers: ReadonlyArray<readonly [string, Answer]>) => Effect.Effect<void, ResultsError>
}

/** A journal that is forgotten with the process. */
export const memory = (): Journal => {
  const answers = new Map<string, Answer>()
  return {
    find: (digest) => answers.get(digest),
    append: (added) => Effect.sync(() => added.forEach(([digest, answer]) => answers.set(digest, answer))),
  }
}

const isAnswer = (value: unknown): value is Answer =>
  typeof value === "number" ||
  typeof value === "string" ||
  (Array.isArray(value) && typeof value[0] === "number" && typeof value[1] === "boolean")

const entry = (line: string): readonly [string, Answer] | undefined => {
  try {
    const parsed: unknown = JSON.parse(line)
    if (!Array.isArray(parsed)) return undefined
    const [digest, answer] = parsed
    return typeof digest === "string" && isAnswer(answer) ? [digest, answer] : undefined
  } catch {
    return undefined
  }
}

/** Whose mistake it is that a file cannot be written, and what to do. */
const unwritable = (cause: unknown) => {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : ""
  const blame: "input" | "system" = ["EACCES", "EEXIST", "ENOTDIR", "EROFS"].includes(code)
    ? "input"
    : "system"
  const advice = blame === "input" ? "; choose another place for results" : ""
  return {
    problem: `cannot be written: ${cause instanceof Error ? cause.message : String(cause)}${advice}`,
    blame,
  }
}

/** The journal in a file, with the answers it already has. */
export const open = Effect.fn("Journal.open")(function* (path: string) {
  const attempt = <A>(call: () => Promise<A>) =>
    Effect.tryPromise({
      try: call,
      catch: (cause) => new ResultsError({ path, ...unwritable(cause) }),
    })
  const text = yield* attempt(async () => {
    await mkdir(dirname(path), { recursive: true })
    return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return ""
      return Promise.reject(error)
    })
  })
  const answers = new Map(text.split("\n").flatMap((line) => [entry(line) ?? []].filter(isPair)))
  const lock = Semaphore.makeUnsafe(1)
  let torn = text !== "" && !text.endsWith("\n")
  return {
    find: (digest) => answers.get(digest),
    append: Effect.fnUntraced(function* (added) {
      const lines = added.map((pair) => `${JSON.stringify(pair)}\n`).join("")
      yield* attempt(() => appendFile(path, torn ? `\n${lines}` : lines))
      torn = false
      for (const [digest, answer] of added) answers.set(digest, answer)
    }, lock.withPermits(1)),
  } satisfies Journal
})

const isPair = (
  value: readonly [string, Answer] | ReadonlyArray<never>,
): value is readonly [string, Answer] => value.length === 2
