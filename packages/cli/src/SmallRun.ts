/** Commands that are a small pipeline of their own, so that what they make is kept and a stopped run goes on. */
import { Events, type Node, Run } from "@hila/core"
import * as Effect from "effect/Effect"
import { announcing } from "./Announcement.ts"
import * as Display from "./Display.ts"

export interface Options {
  readonly pipeline: string
  /** Whether nothing is shown while it runs, since standard output is JSON for programs. */
  readonly json: boolean
  /** What a stage takes, in one line, said when it starts. */
  readonly cost?: { readonly stage: string; readonly line: string | undefined }
}

const silent: Display.Display = { emit: () => undefined, close: () => undefined }

/** Runs what the outputs need, line by line on standard output, and returns their values. */
export const outputs = <const Wanted extends Readonly<Record<string, Node.Like>>>(
  wanted: Wanted,
  { cost, json, pipeline }: Options,
) => {
  const write = (text: string) => void process.stdout.write(text)
  const screen = json ? silent : Display.plain(write)
  const emit =
    json || cost === undefined
      ? screen.emit
      : announcing(screen, { stage: cost.stage, cost: cost.line, write })
  return Run.outputs(wanted, { pipeline }).pipe(
    Effect.provideService(Events, { emit: (event) => Effect.sync(() => emit(event)) }),
    Effect.ensuring(Effect.sync(screen.close)),
  )
}
