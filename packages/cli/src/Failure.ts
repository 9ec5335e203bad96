/**
 * Failures, as the command reports them: one line on standard error and an exit code.
 *
 * 2 is the user's mistake (errors whose `blame` is `"input"`), 1 a failure of the machine or of Hila, 130 a stop.
 */
import * as Cause from "effect/Cause"

export interface Failure {
  readonly line: string
  readonly exitCode: 1 | 2 | 130
}

/** Whose mistake an error is, if it says so. */
export const blameOf = (error: unknown): "input" | "system" | undefined => {
  const blame = typeof error === "object" && error !== null && "blame" in error ? error.blame : undefined
  return blame === "input" || blame === "system" ? blame : undefined
}

/** A message without line breaks. */
export const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, " ")

/** What is wrong with an invocation, as the parser says it, in one sentence. */
export const ofInvocation = (text: string): string =>
  oneLine(text)
    .replace("Expected: Schema validation failed: ", "")
    .replace("a string representing a finite number", "a number")
    .replace(
      / Did you mean this\? (.+)$/,
      (_, names: string) => `; did you mean ${names.split(/\s+/).join(" or ")}?`,
    )

/** Commands that go on where they were, and those whose output appears whole or not at all. */
const resumed = new Set(["run", "sweep", "eval", "golden", "score", "scores", "statistics"])
const whole = new Set(["merge", "extract-lora", "checkout"])

const stopped = (command: string): string => {
  if (resumed.has(command)) return "stopped; what was finished is kept, run it again to go on"
  return whole.has(command) ? "stopped; nothing was written" : "stopped"
}

/** What to print for a cause that ended a command, and how to exit. */
export const of = (cause: Cause.Cause<unknown>, command: string): Failure => {
  if (Cause.hasInterruptsOnly(cause)) return { line: stopped(command), exitCode: 130 }
  const error = Cause.squash(cause)
  const message = error instanceof Error ? error.message || error.name : String(error)
  const blame = blameOf(error)
  const hint = blame === undefined ? " (--debug shows where)" : ""
  return { line: oneLine(message + hint), exitCode: blame === "input" ? 2 : 1 }
}
