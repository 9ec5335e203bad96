import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Overlap from "../src/contamination/Overlap.ts"

/** The same by comparing every n-gram's text with every other's. */
const slow = (item: string, texts: ReadonlyArray<string>, length: number): number => {
  const words = Overlap.wordsOf(item)
  const size = Math.min(length, words.length)
  if (size === 0) return 0
  const grams = (all: ReadonlyArray<string>) =>
    Array.from({ length: Math.max(0, all.length - size + 1) }, (_, start) =>
      all.slice(start, start + size).join(" "),
    )
  const seen = new Set(texts.flatMap((text) => grams(Overlap.wordsOf(text))))
  const own = grams(words)
  return own.filter((gram) => seen.has(gram)).length / own.length
}

const Text = Schema.Array(Schema.Literals(["a", "b", "ab", "B,", "\n", "第", "一章", "é"])).check(
  Schema.isMaxLength(24),
)

describe("Overlap", () => {
  it("cuts words at anything but letters and digits, and characters of scripts without spaces one by one", () => {
    assert.deepStrictEqual(Overlap.wordsOf("The cat's 2 Hats—ÉTÉ ﬁne"), [
      "the",
      "cat",
      "s",
      "2",
      "hats",
      "été",
      "fine",
    ])
    assert.deepStrictEqual(Overlap.wordsOf("第一章abc สวัส"), [
      "第",
      "一",
      "章",
      "abc",
      ..."สวัส".match(/\p{Script=Thai}/gu)!,
    ])
  })

  it.effect.prop(
    "finds what comparing every n-gram finds",
    {
      item: Text,
      texts: Schema.Array(Text).check(Schema.isMaxLength(4)),
      length: Schema.Literals([1, 2, 3, 5]),
    },
    ({ item, length, texts }) =>
      Effect.sync(() => {
        const joined = texts.map((text) => text.join(" "))
        const [found] = Overlap.ofItems([item.join(" ")], joined, length)
        assert.strictEqual(found?.share, slow(item.join(" "), joined, length))
      }),
    { arbitrary: { runs: 300 } },
  )

  it("finds an item whatever its case and punctuation, and none of another", () => {
    const text =
      "Chapter 1. It was a bright cold day in April, and the clocks were striking thirteen; he slipped in."
    const [copied, half, other, short] = Overlap.ofItems(
      [
        "it was a BRIGHT cold day in April -- and the clocks were striking thirteen he",
        "it was a bright cold day in April and the clocks were striking thirteen when she left the old house by",
        "it was a dark and stormy night the rain fell in torrents except at occasional intervals when it was",
        "striking thirteen",
      ],
      [text],
    )
    assert.deepStrictEqual([copied?.share, other?.share, short?.share], [1, 0, 1])
    assert.closeTo(half?.share ?? 0, 2 / 9, 1e-12)
  })
})
