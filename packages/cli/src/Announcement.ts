/** What one stage of a command takes, said before it works and once more when its first part is done. */
import type { Event } from "@hila/core"
import type * as Display from "./Display.ts"

/** A display that says what a stage takes when it starts, and after its first part how long the rest may take. */
export const announcing = (
  screen: Display.Display,
  {
    cost,
    stage,
    write,
  }: {
    readonly stage: string
    /** One line; nothing is said without. */
    readonly cost: string | undefined
    readonly write: (text: string) => void
  },
) => {
  let since = 0
  let told = cost === undefined
  return (event: Event): void => {
    screen.emit(event)
    if (told) return
    if (event._tag === "Started" && event.node === stage) {
      since = Date.now()
      write(`${cost}\n`)
    }
    if (event._tag === "Progress" && event.node === stage && event.done > event.kept) {
      told = true
      const { done, kept, total } = event
      const seconds = ((Date.now() - since) / 1000 / (done - kept)) * (total - done)
      if (total > done) write(`  at most about ${seconds.toFixed(1)} s left, by the time of the first part\n`)
    }
  }
}
