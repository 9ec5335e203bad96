/**
 * How far downloads from the Hub, or uploads to it, are: on a terminal, one line that goes away when they are done.
 *
 * Files and pipes get nothing, since what a command prints there is its answer.
 */
import { Hub } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Terminal from "./Terminal.ts"

interface Screen {
  readonly isTTY?: boolean
  readonly columns?: number
  readonly write: (text: string) => void
}

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

/** The line for all downloads in progress. */
const line = (running: ReadonlyMap<string, Hub.Downloaded>, verb: string): string => {
  const [first] = running.values()
  const [done, total] = [...running.values()].reduce(
    ([sum, all], file) => [sum + file.done, all + file.total],
    [0, 0],
  )
  const what = running.size === 1 ? (first?.file ?? "") : `${running.size} files`
  return `${verb} ${what}: ${megabytes(done)} of ${megabytes(total)} MB`
}

/** Runs an effect and shows its downloads, redrawn at most every `every` milliseconds. */
export const shown = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  terminal: Screen = process.stdout,
  every = 200,
  verb: "fetching" | "sending" = "fetching",
): Effect.Effect<A, E, R> => {
  if (terminal.isTTY !== true) return effect
  const running = new Map<string, Hub.Downloaded>()
  let last = 0
  let drawn = false
  const report = (event: Hub.Downloaded) => {
    if (event.done >= event.total) running.delete(event.file)
    else running.set(event.file, event)
    if (running.size === 0 || Date.now() - last < every) return
    last = Date.now()
    drawn = true
    terminal.write(
      `${Terminal.own("\r\u001B[K")}${line(running, verb).slice(0, (terminal.columns ?? 80) - 1)}`,
    )
  }
  return effect.pipe(
    Effect.provideService(Hub.Progress, report),
    Effect.ensuring(Effect.sync(() => (drawn ? terminal.write(Terminal.own("\r\u001B[K")) : undefined))),
  )
}
