/**
 * Texts made up for trying things out: sentences of invented words whose classes show in different places.
 *
 * A class has words of its own, each text uses few of them among many that say nothing, and some texts borrow from
 * another class. The start of a text tells the classes of one half apart, its end those of the other half, so experts
 * that see different parts of a text know different things.
 */
import { at } from "@hila/core/Lookup"
import * as Random from "./Random.ts"
import type { Row, Texts } from "./LabelledText.ts"

const onsets = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"]
const vowels = ["a", "e", "i", "o", "u"]

/** A made-up word of two or three syllables. */
const word = (random: Random.Random): string =>
  Array.from({ length: 2 + Math.floor(random.next() * 2) }, () => {
    const pick = (from: ReadonlyArray<string>) => at(from, Math.floor(random.next() * from.length))
    return pick(onsets) + pick(vowels)
  }).join("")

const pick = <A>(random: Random.Random, from: ReadonlyArray<A>): A =>
  at(from, Math.floor(random.next() * from.length))

export interface Options {
  readonly classes: number
  readonly train: number
  readonly test: number
  readonly seed: number
}

/** Seeded texts of `classes` topics. */
export const make = ({ classes, seed, test, train }: Options): Texts => {
  const words = Random.make(Random.seedOf(seed, "words"))
  const fresh = (count: number) => Array.from({ length: count }, () => word(words))
  const common = fresh(120)
  const own = Array.from({ length: classes }, () => fresh(12))
  const names = Array.from({ length: classes }, (_, i) => `topic ${i + 1}`)
  const row = (index: number, random: Random.Random): Row => {
    const label = index % classes
    const early = label < classes / 2
    const clear = random.next() < 0.85
    const other = Math.floor(random.next() * classes)
    const half = (isClear: boolean) =>
      Array.from({ length: 12 }, () => {
        const chance = random.next()
        if (chance < (isClear ? 0.25 : 0.06)) return pick(random, at(own, label))
        return chance < (isClear ? 0.3 : 0.16) ? pick(random, at(own, other)) : pick(random, common)
      })
    const text = [...half(clear && early), ...half(clear && !early)].join(" ")
    return { text: `${text}.`, label }
  }
  const rows = (count: number, side: string) => {
    const random = Random.make(Random.seedOf(seed, side))
    return Array.from({ length: count }, (_, i) => row(i, random))
  }
  return { classes: names, train: rows(train, "train"), test: rows(test, "test") }
}
