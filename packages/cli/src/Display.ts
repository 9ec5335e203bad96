/**
 * Displays: what `hila run` shows while it runs.
 *
 * `live` redraws one line per running stage at the bottom of a terminal; `plain` prints lines for files and pipes;
 * `json` prints each event as one line of JSON. All write to standard output: standard error is for errors alone.
 */
import type { Event } from "@hila/core"

export interface Display {
  readonly emit: (event: Event) => void
  /** Leaves the terminal as other output expects it. */
  readonly close: () => void
}

type Write = (text: string) => void

const seconds = (value: number): string => `${value.toFixed(1)} s`

/** How far a stage is, and how much of that an earlier run had done. */
const share = ({ done, kept, total }: Extract<Event, { readonly _tag: "Progress" }>): string =>
  `${done}/${total}${kept === 0 ? "" : `, ${kept} kept from an earlier run`}`

/** The line for an event that stays on the screen, if it has one. */
const lasting = (event: Event, width: number): string | undefined => {
  switch (event._tag) {
    case "Hit":
      return `  ${event.node.padEnd(width)}  ${event.differs === true ? "hit*" : "hit "}     ${event.summary}`
    case "Published":
      return `  ${event.node.padEnd(width)}  ${seconds(event.seconds).padStart(7)}  ${event.summary}`
    case "Finished":
      return `${event.hits} hits, ${event.runs} runs, ${seconds(event.seconds)}`
    case "Retried":
      return `  ${event.node.padEnd(width)}  attempt ${event.attempt}, since the last one failed: ${event.message}`
    case "Planned":
    case "Waits":
    case "Started":
    case "Progress":
    case "Failed":
      return undefined
  }
}

const widthOf = (titles: ReadonlyArray<string>): number => Math.max(0, ...titles.map(({ length }) => length))

/** One line of JSON per event. */
export const json = (write: Write): Display => ({
  emit: (event) => write(`${JSON.stringify(event)}\n`),
  close: () => undefined,
})

/** One line per stage that starts or ends, and one every `every` milliseconds for the progress of each. */
export const plain = (write: Write, every = 5000): Display => {
  let width = 0
  const last = new Map<string, number>()
  return {
    emit: (event) => {
      if (event._tag === "Planned") width = widthOf(event.nodes)
      if (event._tag === "Started") {
        last.set(event.node, Date.now())
        write(`  ${event.node.padEnd(width)}  starts\n`)
      }
      if (event._tag === "Progress" && Date.now() - (last.get(event.node) ?? 0) >= every) {
        last.set(event.node, Date.now())
        write(`  ${event.node.padEnd(width)}  ${share(event)}\n`)
      }
      const line = lasting(event, width)
      if (line !== undefined) write(`${line.trimEnd()}\n`)
    },
    close: () => undefined,
  }
}

interface Running {
  readonly since: number
  progress: string
}

/** Finished stages scroll by; below them, one line per running stage with its progress and seconds. */
export const live = (terminal: { readonly write: Write; readonly columns: () => number }): Display => {
  const running = new Map<string, Running>()
  let width = 0
  let drawn = 0
  const erase = () => (drawn === 0 ? "" : `\u001B[${drawn}A\u001B[0J`)
  const draw = (above = "") => {
    const lines = [...running].map(([node, { progress, since }]) =>
      `  ${node.padEnd(width)}  ${seconds((Date.now() - since) / 1000).padStart(7)}  ${progress}`
        .trimEnd()
        .slice(0, terminal.columns() - 1),
    )
    terminal.write(erase() + above + lines.map((line) => `${line}\n`).join(""))
    drawn = lines.length
  }
  const timer = setInterval(draw, 200).unref()
  return {
    emit: (event) => {
      if (event._tag === "Planned") width = widthOf(event.nodes)
      if (event._tag === "Started") running.set(event.node, { since: Date.now(), progress: "" })
      if (event._tag === "Progress") {
        const stage = running.get(event.node)
        if (stage !== undefined) stage.progress = share(event)
        return
      }
      if (event._tag === "Published" || event._tag === "Failed") running.delete(event.node)
      const line = lasting(event, width)
      draw(line === undefined ? "" : `${line.trimEnd()}\n`)
    },
    close: () => {
      clearInterval(timer)
      terminal.write(erase())
      drawn = 0
    },
  }
}
