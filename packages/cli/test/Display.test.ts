import { assert, describe, it } from "@effect/vitest"
import * as Display from "../src/Display.ts"

const planned = {
  _tag: "Planned",
  run: "r",
  pipeline: "p",
  nodes: ["golden", "score math"],
  outputs: ["scores"],
} as const
const started = { _tag: "Started", node: "golden", key: "k", reasons: [] } as const
const progress = { _tag: "Progress", node: "golden", done: 3, kept: 0, total: 9 } as const
const published = {
  _tag: "Published",
  node: "golden",
  key: "k",
  digest: "d",
  summary: "9 examples",
  seconds: 1.25,
} as const

const screen = () => {
  const written: Array<string> = []
  return { written, write: (text: string) => void written.push(text) }
}

describe("Display", () => {
  it("plain prints starts and ends, aligned", () => {
    const { write, written } = screen()
    const display = Display.plain(write)
    for (const event of [planned, started, progress, published]) display.emit(event)
    assert.deepStrictEqual(written, ["  golden      starts\n", "  golden        1.3 s  9 examples\n"])
  })

  it("plain prints progress once per interval", () => {
    const { write, written } = screen()
    const display = Display.plain(write, 0)
    for (const event of [planned, started, progress]) display.emit(event)
    assert.strictEqual(written.at(-1), "  golden      3/9\n")
    display.emit({ ...progress, done: 5, kept: 2 })
    assert.strictEqual(written.at(-1), "  golden      5/9, 2 kept from an earlier run\n")
  })

  it("live redraws running stages and leaves finished ones on the screen", () => {
    const { write, written } = screen()
    const display = Display.live({ write, columns: () => 80 })
    for (const event of [planned, started, published]) display.emit(event)
    display.close()
    assert.match(written[1] ?? "", /^ {2}golden {8}\d\.\d s\n$/)
    assert.strictEqual(written[2], "\u001B[1A\u001B[0J  golden        1.3 s  9 examples\n")
    assert.strictEqual(written.at(-1), "")
  })

  it("live cuts lines to the width of the terminal, so that redrawing hits the right ones", () => {
    const { write, written } = screen()
    const display = Display.live({ write, columns: () => 12 })
    for (const event of [planned, started]) display.emit(event)
    display.close()
    assert.isAtMost((written[1] ?? "").length, 12)
  })

  it("json prints events as they are", () => {
    const { write, written } = screen()
    Display.json(write).emit(progress)
    assert.deepStrictEqual(written, [`${JSON.stringify(progress)}\n`])
  })
})
