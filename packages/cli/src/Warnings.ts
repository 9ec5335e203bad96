/** Warnings about what a command reads or does: one line each on standard error, and each once. */
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"

const told = new Set<string>()

const write = (message: string): void => {
  if (told.has(message)) return
  told.add(message)
  process.stderr.write(`hila: warning: ${message}\n`)
}

/** Tells a warning. */
export const warn = (message: string): Effect.Effect<void> => Effect.sync(() => write(message))

/** What packages log, for a process whose standard output is its answer. */
export const layer = Logger.layer([
  Logger.make(({ message }) => write((Array.isArray(message) ? message : [message]).map(String).join(" "))),
])
