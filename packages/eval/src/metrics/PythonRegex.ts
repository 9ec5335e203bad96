/**
 * Python's regular expressions: a pattern translated so that it matches what Python's `re` matches.
 *
 * Words, digits and space are Unicode's as Python has them, a text is its characters and not their halves, only `\n`
 * ends a line, and `$` also matches before a line break at the end. Where JavaScript would give another answer and the
 * difference cannot be written out — what a group holds that took no part, or that is repeated — a pattern is refused.
 */
import { atOr, entryOr } from "@hila/core/Lookup"
import * as Result from "effect/Result"
import * as PythonPattern from "./PythonPattern.ts"
import * as PythonText from "./PythonText.ts"

type Node = PythonPattern.Node

/** A character as the source of a set or a pattern, whatever it is. */
const literal = (character: string): string =>
  /^[a-zA-Z0-9]$/.test(character) ? character : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`

interface Dialect {
  readonly ascii: boolean
  readonly ignoreCase: boolean
  readonly dotAll: boolean
  readonly multiline: boolean
}

/** What a class holds, as items of a set. `str.isalnum` and `str.isspace` say what Python's classes are. */
const itemsOf = (category: PythonPattern.Category, ascii: boolean): string => {
  if (ascii) return { digit: "0-9", space: " \\t\\n\\r\\f\\v", word: "a-zA-Z0-9_" }[category]
  return { digit: "\\p{Nd}", space: PythonText.space, word: "\\p{L}\\p{N}_" }[category]
}

const classOf = (category: PythonPattern.Category, negated: boolean, { ascii }: Dialect): string =>
  `[${negated ? "^" : ""}${itemsOf(category, ascii)}]`

/** Without regard to case these are one letter to Python; to JavaScript, the last two are letters of their own. */
const letterI = "iI\u0130\u0131"

const holdsI = (items: ReadonlyArray<PythonPattern.SetItem>): boolean =>
  items.some(
    (item) =>
      item._tag === "Range" && [...letterI].some((letter) => item.from <= letter && letter <= item.to),
  )

const emit = (node: Node, dialect: Dialect): string => {
  const of = (inner: Node) => emit(inner, dialect)
  switch (node._tag) {
    case "Literal":
      return dialect.ignoreCase && letterI.includes(node.character) ? `[${letterI}]` : literal(node.character)
    case "Any":
      return dialect.dotAll ? "[\\s\\S]" : "[^\\n]"
    case "Category":
      return classOf(node.category, node.negated, dialect)
    case "Set": {
      const items = node.items.map((item) =>
        item._tag === "Category"
          ? classOf(item.category, item.negated, dialect)
          : item.from === item.to
            ? literal(item.from)
            : `${literal(item.from)}-${literal(item.to)}`,
      )
      const more = dialect.ignoreCase && holdsI(node.items) ? letterI : ""
      return `[${node.negated ? "^" : ""}${items.join("")}${more}]`
    }
    case "Boundary": {
      const word = classOf("word", false, dialect)
      return node.negated
        ? `(?:(?<=${word})(?=${word})|(?<!${word})(?!${word}))`
        : `(?:(?<=${word})(?!${word})|(?<!${word})(?=${word}))`
    }
    // JavaScript's own `^` and `$`, without its flag m, are the beginning and the end of the text.
    case "Start":
      return dialect.multiline && !node.ofText ? "(?:^|(?<=\\n))" : "^"
    case "End":
      if (node.ofText) return "$"
      return dialect.multiline ? "(?=\\n|$)" : "(?=\\n?$)"
    case "Sequence":
      return node.parts.map(of).join("")
    case "Choice":
      return `(?:${node.options.map(of).join("|")})`
    case "Repeat": {
      const { body, how, least, most } = node
      // JavaScript does not take part in what may be skipped with an empty text, Python does.
      if (least === 0 && most === 1) return how === "lazy" ? `(?:|${of(body)})` : `(?:${of(body)}|)`
      const bounds = most === Infinity ? `{${least},}` : `{${least},${most}}`
      return `(?:${of(body)})${bounds}${how === "lazy" ? "?" : ""}`
    }
    case "Group":
      return node.capture === undefined ? `(?:${of(node.body)})` : `(${of(node.body)})`
    case "Flags": {
      const { off, on } = node
      const held = (letter: string, now: boolean) => on.includes(letter) || (now && !off.includes(letter))
      const own = emit(node.body, {
        ascii: dialect.ascii,
        ignoreCase: held("i", dialect.ignoreCase),
        dotAll: held("s", dialect.dotAll),
        multiline: held("m", dialect.multiline),
      })
      return `(?${on.includes("i") ? "i" : ""}${off.includes("i") ? "-i" : ""}:${own})`
    }
    case "Look":
      return `(?${node.behind ? "<" : ""}${node.negated ? "!" : "="}${of(node.body)})`
    case "Back":
      return `(?:\\${node.group})`
  }
}

const inner = (node: Node): ReadonlyArray<Node> => {
  switch (node._tag) {
    case "Sequence":
      return node.parts
    case "Choice":
      return node.options
    case "Repeat":
    case "Group":
    case "Flags":
    case "Look":
      return [node.body]
    default:
      return []
  }
}

/** Whether a part of a pattern may match the empty text. */
const mayBeEmpty = (node: Node): boolean => {
  switch (node._tag) {
    case "Literal":
    case "Any":
    case "Category":
    case "Set":
      return false
    case "Sequence":
      return node.parts.every(mayBeEmpty)
    case "Choice":
      return node.options.some(mayBeEmpty)
    case "Repeat":
      return node.least === 0 || mayBeEmpty(node.body)
    case "Group":
    case "Flags":
      return mayBeEmpty(node.body)
    default:
      return true
  }
}

/** Where a part of a pattern stands. */
interface Where {
  /** The choices and optional parts around it, by number: what stands in one of them may take no part. */
  readonly within: ReadonlyArray<number>
  /** Whether it is repeated, and may be skipped in one of the rounds. */
  readonly round: "none" | "always" | "skippable"
}

/**
 * What of a pattern JavaScript would match otherwise, as a line. A group that is repeated forgets in each round what it
 * held in the last, where Python keeps it; and a reference to a group that took no part matches nothing at all in Python,
 * and the empty text in JavaScript.
 */
const difference = (root: Node): string | undefined => {
  const places = new Map<number, ReadonlyArray<number>>()
  let scopes = 0
  const optional = ({ round, within }: Where): Where => ({
    within: [...within, scopes++],
    round: round === "none" ? "none" : "skippable",
  })
  const below = (node: Node, where: Where): Where => {
    if (node._tag !== "Repeat") return where
    const own = node.least === 0 ? optional(where) : where
    return node.most > 1 && own.round === "none" ? { ...own, round: "always" } : own
  }
  const walk = (node: Node, where: Where): string | undefined => {
    if (node._tag === "Group" && node.capture !== undefined) {
      places.set(node.capture, where.within)
      if (where.round === "skippable")
        return "a group that may take no part is repeated: what it then holds is not translated"
    }
    if (node._tag === "Repeat" && node.most > 1 && mayBeEmpty(node.body))
      return "what may be empty is repeated: how often is not translated"
    if (node._tag === "Back") {
      const place = entryOr(places, node.group, [])
      if (!place.every((scope, i) => where.within[i] === scope))
        return `group ${node.group} may take no part, and a reference to it is not translated`
    }
    for (const child of inner(node)) {
      const found = walk(child, node._tag === "Choice" ? optional(where) : below(node, where))
      if (found !== undefined) return found
    }
    return undefined
  }
  return walk(root, { within: [], round: "none" })
}

/** The expression of a pattern, global, for `findall` and `sub`; or why there is none. */
export const make = (pattern: string): Result.Result<RegExp, string> =>
  Result.try({
    try: () => {
      const { flags, node } = PythonPattern.parse(pattern)
      const differs = difference(node)
      if (differs !== undefined) throw new PythonPattern.PatternError(differs)
      const [ascii, ignoreCase] = [flags.has("a"), flags.has("i")]
      if (ascii && ignoreCase)
        throw new PythonPattern.PatternError("flags a and i together are not translated")
      const dialect = { ascii, ignoreCase, dotAll: flags.has("s"), multiline: flags.has("m") }
      return new RegExp(emit(node, dialect), ignoreCase ? "giv" : "gv")
    },
    catch: (cause) => (cause instanceof Error ? cause.message : String(cause)),
  })

/**
 * The matches in a text, one after the other. Behind an empty match Python looks for one that is not empty at the same
 * place; JavaScript goes on to the next.
 */
function* matches(expression: RegExp, text: string): Generator<RegExpExecArray> {
  expression.lastIndex = 0
  for (;;) {
    const found = expression.exec(text)
    if (found === null) return
    yield found
    if (found[0] !== "") continue
    const place = found.index
    if (place >= text.length) return
    const before = PythonText.length(text.slice(0, place))
    const advancing = new RegExp(
      `(?:${expression.source})(?<=^[^]{${before + 1},})`,
      expression.flags.replace("g", "y"),
    )
    advancing.lastIndex = place
    const more = advancing.exec(text)
    if (more !== null) yield more
    expression.lastIndex =
      more === null ? place + String.fromCodePoint(text.codePointAt(place) ?? 0).length : advancing.lastIndex
  }
}

/** `re.findall`: the matches, or their group where there is one, or all groups where there are several. */
export const findAll = (expression: RegExp, text: string): ReadonlyArray<ReadonlyArray<string>> =>
  [...matches(expression, text)].map(([whole, ...groups]) =>
    groups.length === 0 ? [whole] : groups.map((group) => group ?? ""),
  )

/** What a match is replaced by: `\\1`, `\\g<1>` and `\\g<name>` in a text are its groups. */
const expanded = (
  by: string,
  [whole, ...groups]: RegExpExecArray,
  names: RegExpExecArray["groups"],
): string =>
  by.replaceAll(
    /\\(?:g<(\w+)>|([1-9]\d?)|(.)|$)/gs,
    (escape, name?: string, number?: string, other?: string) => {
      const group = number ?? name
      if (group !== undefined) {
        const all = [whole, ...groups]
        if (!/^\d+$/.test(group)) return names?.[group] ?? ""
        if (Number(group) >= all.length) throw new Error(`there is no group ${group}`)
        return atOr(all, Number(group), "")
      }
      const known: Readonly<Record<string, string>> = { "\\": "\\", n: "\n", r: "\r", t: "\t" }
      if (other === undefined || (/[a-zA-Z]/.test(other) && known[other] === undefined)) {
        throw new Error(`bad escape ${escape} in what is put for a match`)
      }
      return known[other] ?? escape
    },
  )

/** `re.sub(pattern, by, text, count)`; a count of 0 means all matches. Throws where `by` names no group. */
export const substitute = (expression: RegExp, text: string, by: string, count = 0): string => {
  let rest = ""
  let done = 0
  let times = 0
  for (const found of matches(expression, text)) {
    rest += text.slice(done, found.index) + expanded(by, found, found.groups)
    done = found.index + found[0].length
    if (++times === count) break
  }
  return rest + text.slice(done)
}
