/**
 * How far a command is that is no pipeline: one line that is written over on a terminal, a line now and then elsewhere.
 *
 * Nothing is said of work that takes less than the first interval.
 */
import * as Terminal from "./Terminal.ts"

interface Screen {
  readonly isTTY?: boolean
  readonly write: (text: string) => void
}

export interface Progress {
  /** Says `text`, unless something was said a moment ago. */
  readonly say: (text: string) => void
  /** Clears the line, before something else is written. */
  readonly clear: () => void
}

/** Progress on a terminal every `often` milliseconds, in files and pipes every `seldom`. */
export const of = (terminal: Screen = process.stdout, often = 200, seldom = 5000): Progress => {
  const { isTTY = false } = terminal
  let last = Date.now()
  let drawn = false
  return {
    say: (text) => {
      if (Date.now() - last < (isTTY ? often : seldom)) return
      last = Date.now()
      drawn = isTTY
      terminal.write(isTTY ? `${Terminal.own("\r\u001B[K")}  ${text}` : `  ${text}\n`)
    },
    clear: () => {
      if (drawn) terminal.write(Terminal.own("\r\u001B[K"))
      drawn = false
    },
  }
}

/** A share of 0 to 1 for people. */
export const percent = (share: number): string => `${Math.floor(share * 100)} %`
