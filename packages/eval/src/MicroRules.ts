/**
 * The rules of the micro family's three question domains: how a question is drawn, what its answer is,
 * and on which side of the train / held-out split it lies.
 *
 * Everything here is pure and works on the bare question (`87+45`, `rev('abc')`, `es 12`); prompts, seeds
 * and sizes are `Micro`'s. An answer is always computed from the question's text, so a drawn question and
 * one read from a file go through the same rule.
 */
import { at, entryOr } from "@hila/core/Lookup"
import * as NumberWords from "./NumberWords.ts"

/** The domains, in the order of the specialists. */
export const domains = ["math", "code", "lang"] as const

/** One of the three domains. */
export type Domain = (typeof domains)[number]

/** The two sides of the split: what the models may have seen, and what none has. */
export const sides = ["train", "heldOut"] as const

/** One of the two sides. */
export type Side = (typeof sides)[number]

const letters = [..."abcdefgh"]
const minLetters = 3
const maxLetters = 7

/** The functions on strings that the code domain asks for. */
const functions: Readonly<Record<string, (s: string) => string>> = {
  rev: (s) => [...s].toReversed().join(""),
  sort: (s) => [...s].toSorted().join(""),
  upper: (s) => s.toUpperCase(),
  len: (s) => String(s.length),
  uniq: (s) => [...new Set(s)].join(""),
  next: (s) => [...s].map((c) => String.fromCharCode(c.charCodeAt(0) + 1)).join(""),
  dup: (s) => s + s,
}
const functionNames = Object.keys(functions)

const codePointSum = (text: string): number =>
  [...text].reduce((sum, character) => sum + (character.codePointAt(0) ?? 0), 0)

// Knuth's multiplicative hash with 7 bits dropped; the product passes 32 bits but stays exact in a double.
const isHeldOutSum = (sum: number): boolean => Math.floor((sum * 2654435761) / 128) % 10 === 0

/** The side of a bare question, decided by the sum of its code points. */
export const side = (question: string): Side => (isHeldOutSum(codePointSum(question)) ? "heldOut" : "train")

const solveMath = (question: string): string | undefined => {
  const infix = /^(\d{1,2})([+-])(\d{1,2})$/.exec(question)
  if (infix !== null) {
    const [a, b] = [Number(infix[1]), Number(infix[3])]
    if (infix[2] === "+") return String(a + b)
    return a < b ? undefined : String(a - b)
  }
  const max = /^max\((\d{1,2}),(\d{1,2})\)$/.exec(question)
  return max === null ? undefined : String(Math.max(Number(max[1]), Number(max[2])))
}

const solveCode = (question: string): string | undefined => {
  const call = /^([a-z]+)\('([a-h]{3,7})'\)$/.exec(question)
  return call === null ? undefined : entryOr(functions, at(call, 1), undefined)?.(at(call, 2))
}

const solveLang = (question: string): string | undefined => {
  const spell = /^([a-z]{2}) (\d{1,2})$/.exec(question)
  if (spell !== null) {
    const language = at(spell, 1)
    return NumberWords.isLanguage(language) ? NumberWords.say(language, Number(spell[2])) : undefined
  }
  const count = /^num ([a-z]{2}) (.+)$/.exec(question)
  if (count === null) return undefined
  const language = at(count, 1)
  const number = NumberWords.isLanguage(language) ? NumberWords.read(language, at(count, 2)) : undefined
  return number === undefined ? undefined : String(number)
}

/** The answer of a bare question of any domain, or undefined where the text is no micro question. */
export const solve = (question: string): string | undefined =>
  solveMath(question) ?? solveCode(question) ?? solveLang(question)

/** Draws one bare question; `below(n)` gives a uniform integer in 0…n-1. Questions of both sides come. */
export const draw = (domain: Domain, below: (n: number) => number): string => {
  const pick = <A>(list: ReadonlyArray<A>): A => list[below(list.length)] as A
  switch (domain) {
    case "math": {
      const [a, b, kind] = [below(100), below(100), below(100)]
      if (kind < 45) return `${a}+${b}`
      return kind < 80 ? `${Math.max(a, b)}-${Math.min(a, b)}` : `max(${a},${b})`
    }
    case "code": {
      const length = minLetters + below(maxLetters - minLetters + 1)
      const text = Array.from({ length }, () => pick(letters)).join("")
      return `${pick(functionNames)}('${text}')`
    }
    case "lang": {
      const [language, n] = [pick(NumberWords.languages), below(100)]
      return below(100) < 60 ? `${language} ${n}` : `num ${language} ${NumberWords.say(language, n)}`
    }
  }
}

const numbers = Array.from({ length: 100 }, (_, n) => n)

const everyMath = (): ReadonlyArray<string> =>
  numbers.flatMap((a) =>
    numbers.flatMap((b) => [`${a}+${b}`, `max(${a},${b})`, ...(a >= b ? [`${a}-${b}`] : [])]),
  )

const everyLang = (): ReadonlyArray<string> =>
  NumberWords.languages.flatMap((language) =>
    numbers.flatMap((n) => [`${language} ${n}`, `num ${language} ${NumberWords.say(language, n)}`]),
  )

/** How many code questions lie on a side: strings are counted by their code-point sum, not listed. */
const countCode = (wanted: Side): number => {
  let count = 0
  for (const name of functionNames) {
    let strings = new Map([[codePointSum(`${name}('')`), 1]]) // code-point sum -> how many strings have it
    for (let length = 1; length <= maxLetters; length++) {
      const longer = new Map<number, number>()
      for (const [sum, many] of strings) {
        for (const letter of letters) {
          const next = sum + letter.charCodeAt(0)
          longer.set(next, entryOr(longer, next, 0) + many)
        }
      }
      strings = longer
      if (length < minLetters) continue
      for (const [sum, many] of strings) if (isHeldOutSum(sum) === (wanted === "heldOut")) count += many
    }
  }
  return count
}

/** How many distinct questions of a domain lie on a side (lang, held out: 78). */
export const count = (domain: Domain, wanted: Side): number => {
  if (domain === "code") return countCode(wanted)
  const every = domain === "math" ? everyMath() : everyLang()
  return every.filter((question) => side(question) === wanted).length
}
