import { assert, describe, it } from "@effect/vitest"
import * as Progress from "../src/Progress.ts"

/** What is written while something says how far it is, at any moment. */
const written = (isTTY: boolean, often: number, seldom: number): string => {
  let text = ""
  const progress = Progress.of({ isTTY, write: (piece) => void (text += piece) }, often, seldom)
  for (const share of [0.25, 0.999]) progress.say(`writing: ${Progress.percent(share)}`)
  progress.clear()
  progress.clear()
  return text
}

describe("Progress", () => {
  it("is one line that is written over and cleared on a terminal, lines elsewhere, nothing before its time", () => {
    assert.strictEqual(
      written(true, 0, Infinity),
      "\r\u001B[K  writing: 25 %\r\u001B[K  writing: 99 %\r\u001B[K",
    )
    assert.strictEqual(written(false, Infinity, 0), "  writing: 25 %\n  writing: 99 %\n")
    assert.strictEqual(written(true, Infinity, 0), "")
  })
})
