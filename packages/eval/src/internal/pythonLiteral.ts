/**
 * Literals of Python in a text: what `ast.literal_eval` reads, which is how the reference harness gets lists out of
 * rendered templates. Numbers, strings, truth values, None, lists, tuples and dictionaries; no sets and no bytes.
 */
import { atOr } from "@hila/core/Lookup"
import { float, Float, Tuple } from "./python.ts"

/** A text that is no literal. */
class NoLiteral extends Error {}

const escapes: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
}

const unescaped = (body: string): string =>
  body.replaceAll(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole, x?: string, u?: string, long?: string, octal?: string, other = "") => {
      const hex = x ?? u ?? long
      if (hex !== undefined) return String.fromCodePoint(Number.parseInt(hex, 16))
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8))
      if ("xuUN".includes(other)) throw new NoLiteral(whole)
      return escapes[other] ?? whole
    },
  )

const string =
  /(?<raw>[rR])?[uU]?(?:"""(?<a>(?:\\[\s\S]|[^\\])*?)"""|'''(?<b>(?:\\[\s\S]|[^\\])*?)'''|"(?<c>(?:\\[\s\S]|[^\\"\n])*)"|'(?<d>(?:\\[\s\S]|[^\\'\n])*)')/y
const number =
  /0[xX](?:_?[\da-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d(?:_?\d)*)?/y
const space = /(?:[ \t\f\r\n]|\\\n|#.*)*/y
const constants: Readonly<Record<string, unknown>> = { True: true, False: false, None: null }

const numberOf = (digits: string): unknown => {
  const plain = digits.replaceAll("_", "")
  if (/^0[xXoObB]/.test(plain)) return integer(BigInt(plain))
  if (/[.eE]/.test(plain)) return float(Number(plain))
  // Zeros before an integer are an error of Python's, unless there is nothing else.
  if (/^0+[1-9]/.test(plain)) throw new NoLiteral(plain)
  return integer(BigInt(plain))
}

const integer = (value: bigint) => (Number.isSafeInteger(Number(value)) ? Number(value) : value)

const negative = (value: unknown): unknown => {
  if (typeof value === "bigint") return -value
  if (value instanceof Float) return new Float(-value.value)
  if (typeof value === "number") return value === 0 ? 0 : -value
  throw new NoLiteral("-")
}

/** How deep literals may lie in each other; Python gives up at 200 brackets. */
const deepest = 200

/** A reader of one text. */
class Reader {
  private at = 0
  private readonly text: string
  constructor(text: string) {
    this.text = text
  }

  private take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)
    if (found !== null) this.at = pattern.lastIndex
    return found
  }

  private next(): string {
    this.take(space)
    return atOr(this.text, this.at, "")
  }

  private sign(character: string): boolean {
    if (this.next() !== character) return false
    this.at++
    return true
  }

  private expect(character: string): void {
    if (!this.sign(character)) throw new NoLiteral(character)
  }

  /** What stands between two brackets, and whether a comma came last. */
  private items<A>(close: string, item: () => A): { readonly found: Array<A>; readonly comma: boolean } {
    const found: Array<A> = []
    let comma = true
    while (!this.sign(close)) {
      if (!comma) throw new NoLiteral(",")
      found.push(item())
      comma = this.sign(",")
    }
    return { found, comma }
  }

  private value(depth: number): unknown {
    if (depth > deepest) throw new NoLiteral("too deep")
    const inner = () => this.value(depth + 1)
    if (this.sign("[")) return this.items("]", inner).found
    if (this.sign("(")) {
      const { comma, found } = this.items(")", inner)
      return found.length === 1 && !comma ? found[0] : Tuple.from(found)
    }
    if (this.sign("{")) {
      const entry = (): readonly [string, unknown] => {
        const key = inner()
        this.expect(":")
        return [String(key), inner()]
      }
      return Object.fromEntries(this.items("}", entry).found)
    }
    if (this.sign("-")) return negative(inner())
    if (this.sign("+")) return inner()
    const texts: Array<string> = []
    for (this.next(); ; this.next()) {
      const groups = this.take(string)?.groups
      if (groups === undefined) break
      const body = groups["a"] ?? groups["b"] ?? groups["c"] ?? groups["d"] ?? ""
      texts.push(groups["raw"] === undefined ? unescaped(body) : body)
    }
    if (texts.length > 0) return texts.join("")
    const digits = this.take(number)?.[0]
    if (digits !== undefined) return numberOf(digits)
    const name = this.take(/\w+/y)?.[0] ?? ""
    if (!Object.hasOwn(constants, name)) throw new NoLiteral(name)
    return constants[name]
  }

  /** The one literal of the text; several with commas between them are a tuple. */
  whole(): unknown {
    const found = [this.value(0)]
    let comma = false
    while (this.sign(",")) {
      comma = true
      if (this.next() === "") break
      found.push(this.value(0))
    }
    if (this.next() !== "") throw new NoLiteral(this.text)
    return comma ? Tuple.from(found) : found[0]
  }
}

/** The literal that a text is, as `{ value }`; nothing where it is none. */
export const read = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: new Reader(text.replace(/^[ \t]+/, "")).whole() }
  } catch (cause) {
    if (cause instanceof NoLiteral || cause instanceof RangeError) return undefined
    throw cause
  }
}
