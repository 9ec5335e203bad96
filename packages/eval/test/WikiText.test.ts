import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as WikiText from "../src/tasks/functions/WikiText.ts"

interface Joined {
  readonly page: string
  readonly text: string
  readonly words: number
  readonly bytes: number
}

/** What the reference harness makes of made-up pages: tools/oracles/wikitext.py. */
const joined: ReadonlyArray<Joined> = JSON.parse(
  readFileSync(new URL("fixtures/wikitext.json", import.meta.url), "utf8"),
)

describe("WikiText", () => {
  // The case wikitext.
  it("is joined up as the harness does, and counted as the page was", () => {
    for (const { bytes, page, text, words } of joined) {
      assert.strictEqual(WikiText.text({ page }), text)
      assert.deepStrictEqual(WikiText.counts({ page }, [{ logLikelihood: -1 }]), {
        word_perplexity: [-1, words],
        byte_perplexity: [-1, bytes],
        bits_per_byte: [-1, bytes],
      })
    }
  })

  it("has a page from each heading of lines on", () => {
    const lines = ["", " = One = ", " a . ", " = = Part = = ", " = Two = ", " b "]
    assert.deepStrictEqual(WikiText.pages(lines.map((text) => ({ text }))), [
      { page: " = One = \n a . \n = = Part = = " },
      { page: " = Two = \n b " },
    ])
  })
})
