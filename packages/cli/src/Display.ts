/**
 * Displays: what `hila run` shows while it runs.
 *
 * `live` redraws one line per running stage at the bottom of a terminal; `plain` prints lines for files and pipes;
 * `json` prints each event as one line of JSON. All write to standard output: standard error is for errors alone.
 */
import type { Event } from "@hila/core"
import { entryOr } from "@hila/core/Lookup"
import * as Terminal from "./Terminal.ts"

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
    case "Waits":
      return `  ${event.node.padEnd(width)}  waits    for ${event.owner}, which computes it`
    case "Failed":
      return `  ${event.node.padEnd(width)}  failed   ${event.message.replaceAll(/\s*\n\s*/g, " ")}`
    case "Planned":
    case "Started":
    case "Progress":
    case "Source":
    case "Output":
      return undefined
  }
}

const widthOf = (titles: ReadonlyArray<string>): number => Math.max(0, ...titles.map(({ length }) => length))

/** What fits standard output: redrawn on a terminal, else line by line. */
export const standard = (asJson: boolean): Display => {
  const { stdout } = process
  const write = (text: string) => void stdout.write(text)
  if (asJson) return json(write)
  return stdout.isTTY ? live({ write, columns: () => stdout.columns || 80 }) : plain(write)
}

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
      if (event._tag === "Progress" && Date.now() - entryOr(last, event.node, 0) >= every) {
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
  /** Seconds that its nearest earlier run took. */
  readonly expected: number | undefined
  progress: string
  /** Share of its elements that this run has done, and of those that it has to do; none before the first. */
  done: number
  rest: number
}

/** Time left, from the elements of this run or else from an earlier run. */
const left = ({ done, expected, rest, since }: Running): string => {
  const elapsed = (Date.now() - since) / 1000
  const guess = done > 0 ? (elapsed / done) * rest : expected === undefined ? 0 : expected - elapsed
  return guess < 1
    ? ""
    : `about ${guess < 90 ? `${Math.round(guess)} s` : `${Math.round(guess / 60)} min`} left`
}

/** Finished stages scroll by; below them, one line per running stage with its progress and seconds. */
export const live = (terminal: { readonly write: Write; readonly columns: () => number }): Display => {
  const running = new Map<string, Running>()
  let width = 0
  let drawn = 0
  const erase = () => (drawn === 0 ? "" : Terminal.own(`\u001B[${drawn}A\u001B[0J`))
  const draw = (above = "") => {
    const lines = [...running].map(([node, stage]) =>
      `  ${node.padEnd(width)}  ${seconds((Date.now() - stage.since) / 1000).padStart(7)}  ${[stage.progress, left(stage)].filter(Boolean).join(", ")}`
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
      if (event._tag === "Started") {
        const { expected, node } = event
        running.set(node, { since: Date.now(), expected, progress: "", done: 0, rest: 0 })
      }
      if (event._tag === "Progress") {
        const stage = running.get(event.node)
        if (stage !== undefined) {
          stage.progress = share(event)
          stage.done = event.done - event.kept
          stage.rest = event.total - event.done
        }
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
