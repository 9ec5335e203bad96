import { assert, describe, it } from "@effect/vitest"
import * as NumberWords from "../src/NumberWords.ts"

describe("NumberWords", () => {
  const spelled: ReadonlyArray<readonly [NumberWords.Language, number, string]> = [
    ["es", 0, "cero"],
    ["es", 16, "dieciséis"],
    ["es", 22, "veintidós"],
    ["es", 30, "treinta"],
    ["es", 31, "treinta y uno"],
    ["de", 1, "eins"],
    ["de", 17, "siebzehn"],
    ["de", 21, "einundzwanzig"],
    ["de", 30, "dreißig"],
    ["de", 99, "neunundneunzig"],
    ["fr", 17, "dix-sept"],
    ["fr", 21, "vingt et un"],
    ["fr", 70, "soixante-dix"],
    ["fr", 71, "soixante et onze"],
    ["fr", 80, "quatre-vingts"],
    ["fr", 81, "quatre-vingt-un"],
    ["fr", 91, "quatre-vingt-onze"],
    ["fr", 99, "quatre-vingt-dix-neuf"],
    ["zh", 0, "零"],
    ["zh", 10, "十"],
    ["zh", 12, "十二"],
    ["zh", 21, "二十一"],
    ["zh", 90, "九十"],
  ]

  it.each(spelled)("spells %s %i as %s", (language, n, word) => {
    assert.strictEqual(NumberWords.say(language, n), word)
  })

  it("reads every word back, so no two numbers of a language share a word", () => {
    for (const language of NumberWords.languages) {
      for (let n = 0; n < 100; n++) {
        assert.strictEqual(NumberWords.read(language, NumberWords.say(language, n)), n)
      }
    }
  })

  it("reads nothing in another language's words", () => {
    assert.isUndefined(NumberWords.read("de", "veinte"))
  })
})
