/**
 * Numbers, flags and words as mergekit 0.1.5 reads them: YAML 1.1 as PyYAML has it, then a lenient reading by what
 * is wanted, so that `1e-3`, which is a text to YAML 1.1, and `"0.5"` are numbers where a number belongs.
 *
 * `010` is eight. Held against the tool, release 0.1.5, by a table in the tests.
 */
import type { Scalar } from "./RecipeSchema.ts"

const flags: ReadonlyMap<string, boolean> = new Map(
  [["yes", "true", "on"] as const, ["no", "false", "off"] as const].flatMap((words, index) =>
    words.flatMap((word) =>
      [word, word.toUpperCase(), `${word[0]?.toUpperCase()}${word.slice(1)}`].map(
        (form) => [form, index === 0] as const,
      ),
    ),
  ),
)

const sixties = (text: string): number =>
  text.split(":").reduce((sum, digits) => sum * 60 + Number(digits), 0)

/** Whole numbers and fractions in the forms of YAML 1.1, underscores taken out. */
const forms: ReadonlyArray<readonly [pattern: RegExp, value: (digits: string) => number]> = [
  [/^0b[01_]+$/, (digits) => Number.parseInt(digits.slice(2), 2)],
  [/^0x[\da-fA-F_]+$/, (digits) => Number.parseInt(digits.slice(2), 16)],
  [/^0[0-7_]+$/, (digits) => Number.parseInt(digits, 8)],
  [/^(?:0|[1-9][\d_]*)$/, Number],
  [/^\d[\d_]*\.[\d_]*(?:[eE][-+]\d+)?$/, Number],
  [/^[1-9][\d_]*(?::[0-5]?\d)+$/, sixties],
  [/^\d[\d_]*(?::[0-5]?\d)+\.[\d_]*$/, sixties],
  [/^\.(?:inf|Inf|INF)$/, () => Number.POSITIVE_INFINITY],
]

/** A text without quotes as YAML 1.1 reads it. */
export const ofPlain = (text: string): Scalar => {
  if (/^(?:~|null|Null|NULL|)$/.test(text)) return null
  const flag = flags.get(text)
  if (flag !== undefined) return flag
  if (/^\.(?:nan|NaN|NAN)$/.test(text)) return Number.NaN
  if (/^\.\d[\d_]*(?:[eE][-+]\d+)?$/.test(text)) return Number(text.replaceAll("_", ""))
  const [, sign, digits = ""] = /^([-+]?)(.*)$/s.exec(text) ?? []
  const form = forms.find(([pattern]) => pattern.test(digits))
  if (form === undefined) return text
  const value = form[1](digits.replaceAll("_", ""))
  return sign === "-" ? -value : value
}

const decimal = /^[-+]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:[eE][-+]?\d+)?$/

/** A value where a number belongs, or undefined where it is none. */
export const toNumber = (value: Scalar): number | undefined => {
  if (typeof value === "number") return value
  if (typeof value === "boolean") return value ? 1 : 0
  const text = value?.trim() ?? ""
  return decimal.test(text) ? Number(text.replaceAll("_", "")) : undefined
}

/** A value where true or false belongs, or undefined where it is neither. */
export const toFlag = (value: Scalar): boolean | undefined => {
  if (typeof value === "boolean") return value
  if (value === null) return undefined
  const text = String(value).toLowerCase()
  if (/^(?:1|on|t|true|y|yes)$/.test(text)) return true
  return /^(?:0|off|f|false|n|no)$/.test(text) ? false : undefined
}
