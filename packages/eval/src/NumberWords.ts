/**
 * The words for 0…99 in Spanish, German, French and Chinese, in their usual spelling.
 *
 * Half of the micro family's `lang` questions ask for a word, half for the number behind it.
 * This is not a general speller: nothing outside 0…99 and these four languages is known.
 */
import { at } from "@hila/core/Lookup"

/** The languages, by ISO 639-1 code. */
export const languages = ["es", "de", "fr", "zh"] as const

/** One of the four languages. */
export type Language = (typeof languages)[number]

const words = (text: string): ReadonlyArray<string> => text.split(" ")

const es = {
  small: words(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis " +
      "diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco " +
      "veintiséis veintisiete veintiocho veintinueve",
  ),
  tens: words("- - - treinta cuarenta cincuenta sesenta setenta ochenta noventa"),
}
const de = {
  small: words(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn " +
      "sechzehn siebzehn achtzehn neunzehn",
  ),
  tens: words("- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"),
}
const fr = {
  small: words(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize " +
      "dix-sept dix-huit dix-neuf",
  ),
  tens: words("- - vingt trente quarante cinquante soixante"),
}
const zh = words("零 一 二 三 四 五 六 七 八 九")

const spanish = (n: number): string => {
  const unit = n % 10
  if (n < 30) return at(es.small, n)
  return at(es.tens, Math.floor(n / 10)) + (unit === 0 ? "" : ` y ${at(es.small, unit)}`)
}

const german = (n: number): string => {
  const unit = n % 10
  if (n < 20) return at(de.small, n)
  // "eins" loses its s inside a compound: einundzwanzig.
  const head = unit === 1 ? "ein" : at(de.small, unit)
  return (unit === 0 ? "" : `${head}und`) + at(de.tens, Math.floor(n / 10))
}

const french = (n: number): string => {
  if (n < 20) return at(fr.small, n)
  // 70…79 count on from soixante, 81…99 from quatre-vingt; 80 alone takes the plural s and 81, 91 no "et".
  if (n >= 80) return n === 80 ? "quatre-vingts" : `quatre-vingt-${at(fr.small, n - 80)}`
  const ten = Math.min(Math.floor(n / 10), 6)
  const rest = n - ten * 10
  if (rest === 0) return at(fr.tens, ten)
  return at(fr.tens, ten) + (rest === 1 || rest === 11 ? " et " : "-") + at(fr.small, rest)
}

const chinese = (n: number): string => {
  const ten = Math.floor(n / 10)
  const unit = n % 10
  if (ten === 0) return at(zh, unit)
  return (ten === 1 ? "" : at(zh, ten)) + "十" + (unit === 0 ? "" : at(zh, unit))
}

const spellers: Readonly<Record<Language, (n: number) => string>> = {
  es: spanish,
  de: german,
  fr: french,
  zh: chinese,
}

/** Spells `n` (integer, 0…99) in a language: `say("fr", 71)` is "soixante et onze". */
export const say = (language: Language, n: number): string => spellers[language](n)

const readers = new Map<string, number>(
  languages.flatMap((language) =>
    Array.from({ length: 100 }, (_, n): [string, number] => [`${language} ${say(language, n)}`, n]),
  ),
)

/** The number a word stands for in a language, or undefined where the word is none of 0…99. */
export const read = (language: Language, word: string): number | undefined =>
  readers.get(`${language} ${word}`)

/** Whether a text is one of the four language codes. */
export const isLanguage = (text: string): text is Language =>
  (languages as ReadonlyArray<string>).includes(text)
