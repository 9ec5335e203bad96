/**
 * The syntax of Python's regular expressions (module `re` of Python 3.11): a pattern as a tree.
 *
 * What a pattern means is said by `PythonRegex`. What is no pattern, or needs a feature that is not translated, is a
 * line that says so.
 */

export type Node =
  | { readonly _tag: "Literal"; readonly character: string }
  | { readonly _tag: "Any" }
  | { readonly _tag: "Category"; readonly category: Category; readonly negated: boolean }
  | { readonly _tag: "Set"; readonly items: ReadonlyArray<SetItem>; readonly negated: boolean }
  | { readonly _tag: "Boundary"; readonly negated: boolean }
  | { readonly _tag: "Start" | "End"; readonly ofText: boolean }
  | { readonly _tag: "Sequence"; readonly parts: ReadonlyArray<Node> }
  | { readonly _tag: "Choice"; readonly options: ReadonlyArray<Node> }
  | {
      readonly _tag: "Repeat"
      readonly body: Node
      readonly least: number
      /** Infinity: without bound. */
      readonly most: number
      readonly how: "greedy" | "lazy"
    }
  | {
      readonly _tag: "Group"
      readonly body: Node
      readonly capture: number | undefined
      readonly name?: string
    }
  | { readonly _tag: "Flags"; readonly body: Node; readonly on: string; readonly off: string }
  | { readonly _tag: "Look"; readonly body: Node; readonly behind: boolean; readonly negated: boolean }
  | { readonly _tag: "Back"; readonly group: number }

export type Category = "digit" | "space" | "word"

export type SetItem =
  | { readonly _tag: "Range"; readonly from: string; readonly to: string }
  | { readonly _tag: "Category"; readonly category: Category; readonly negated: boolean }

export interface Pattern {
  readonly node: Node
  readonly flags: ReadonlySet<string>
  readonly groups: number
}

/** Why a pattern is not read. */
export class PatternError extends Error {}

const categories: Readonly<Record<string, Category>> = { d: "digit", s: "space", w: "word" }

const escapes: Readonly<Record<string, string>> = {
  a: "\x07",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
}

const fail = (problem: string): never => {
  throw new PatternError(problem)
}

/** How many characters a part matches, where these are always the same. */
const widthOf = (node: Node): number | undefined => {
  switch (node._tag) {
    case "Literal":
    case "Any":
    case "Category":
    case "Set":
      return 1
    case "Boundary":
    case "Start":
    case "End":
    case "Look":
      return 0
    case "Sequence":
      return node.parts.reduce<number | undefined>((sum, part) => plus(sum, widthOf(part)), 0)
    case "Choice": {
      const widths = new Set(node.options.map(widthOf))
      return widths.size === 1 ? [...widths][0] : undefined
    }
    case "Repeat": {
      const width = widthOf(node.body)
      return node.least === node.most && width !== undefined ? width * node.least : undefined
    }
    case "Group":
    case "Flags":
      return widthOf(node.body)
    case "Back":
      return undefined
  }
}

const plus = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a + b

/** Nesting beyond this is no pattern that a person wrote. */
const deepest = 200

/** Reads a pattern; throws a `PatternError`. */
export const parse = (source: string): Pattern => {
  const characters = [...source]
  const flags = new Set<string>()
  const names = new Map<string, number>()
  let place = 0
  let groups = 0
  let depth = 0

  const peek = (): string | undefined => characters[place]
  const next = (): string => characters[place++] ?? fail("it ends too early")
  const takes = (text: string): boolean => {
    const found = characters.slice(place, place + text.length).join("") === text
    if (found) place += text.length
    return found
  }
  const until = (end: string): string => {
    let text = ""
    for (let character = next(); character !== end; character = next()) text += character
    return text
  }
  const hexadecimal = (digits: number): string => {
    let text = ""
    for (let i = 0; i < digits; i++) text += next()
    if (!/^[0-9a-fA-F]+$/.test(text)) fail(`\\${text} is no escape`)
    const code = Number.parseInt(text, 16)
    return code <= 0x10_ffff ? String.fromCodePoint(code) : fail(`\\${text} is no character`)
  }
  const octal = (first: string): string => {
    let text = first
    while (text.length < 3 && /^[0-7]$/.test(peek() ?? "")) text += next()
    return String.fromCodePoint(Number.parseInt(text, 8))
  }

  /** A character by its escape, the backslash and the first character being read; undefined: it is none. */
  const escaped = (character: string): string | undefined => {
    const simple = escapes[character]
    if (simple !== undefined) return simple
    if (character === "x") return hexadecimal(2)
    if (character === "u") return hexadecimal(4)
    if (character === "U") return hexadecimal(8)
    if (character === "0") return octal("0")
    if (character === "N") return fail("\\N{…} is not translated; write the character")
    return /^[a-zA-Z0-9]$/.test(character) ? undefined : character
  }

  const set = (): Node => {
    const negated = takes("^")
    const items: Array<SetItem> = []
    const one = (): SetItem => {
      const character = next()
      if (character !== "\\") return { _tag: "Range", from: character, to: character }
      const name = next()
      const category = categories[name.toLowerCase()]
      if (category !== undefined) return { _tag: "Category", category, negated: name !== name.toLowerCase() }
      const found = name === "b" ? "\b" : /^[1-7]$/.test(name) ? octal(name) : escaped(name)
      const literal = found ?? fail(`[\\${name}] is no escape`)
      return { _tag: "Range", from: literal, to: literal }
    }
    for (let first = true; first || peek() !== "]"; first = false) {
      const item = one()
      if (item._tag === "Range" && peek() === "-" && characters[place + 1] !== "]") {
        next()
        const end = one()
        if (end._tag !== "Range") fail("a range of a set ends in a class")
        else if ((item.from.codePointAt(0) ?? 0) > (end.from.codePointAt(0) ?? 0))
          fail("a range of a set runs backwards")
        else items.push({ _tag: "Range", from: item.from, to: end.from })
      } else items.push(item)
    }
    next()
    return { _tag: "Set", items, negated }
  }

  const escape = (): Node => {
    const character = next()
    const category = categories[character.toLowerCase()]
    if (category !== undefined)
      return { _tag: "Category", category, negated: character !== character.toLowerCase() }
    if (character === "b" || character === "B") return { _tag: "Boundary", negated: character === "B" }
    if (character === "A") return { _tag: "Start", ofText: true }
    if (character === "Z") return { _tag: "End", ofText: true }
    if (/^[1-9]$/.test(character)) {
      // Three octal digits are a character, fewer digits a group.
      const digits = character + characters.slice(place, place + 2).join("")
      if (/^[1-3][0-7]{2}$/.test(digits)) return { _tag: "Literal", character: octal(character) }
      const second = /^[0-9]$/.test(peek() ?? "") ? next() : ""
      const group = Number(character + second)
      return group <= groups ? { _tag: "Back", group } : fail(`there is no group ${group}`)
    }
    const literal = escaped(character) ?? fail(`\\${character} is no escape`)
    return { _tag: "Literal", character: literal }
  }

  const grouped = (more: { readonly name?: string } = {}): Node => {
    const capture = ++groups
    if (more.name !== undefined) names.set(more.name, capture)
    return { _tag: "Group", body: closed(), capture, ...more }
  }
  const closed = (): Node => {
    const body = choice()
    return takes(")") ? body : fail("a bracket is not closed")
  }
  const look = (behind: boolean, negated: boolean): Node => {
    const body = closed()
    if (behind && widthOf(body) === undefined) fail("what is looked for behind has no fixed width")
    return { _tag: "Look", behind, negated, body }
  }

  const group = (): Node => {
    if (!takes("?")) return grouped()
    if (takes(":")) return { _tag: "Group", body: closed(), capture: undefined }
    if (takes("P<")) {
      const name = until(">")
      if (!/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)) fail(`${name} is no name of a group`)
      return names.has(name) ? fail(`there are two groups ${name}`) : grouped({ name })
    }
    if (takes("P=")) {
      const name = until(")")
      return { _tag: "Back", group: names.get(name) ?? fail(`there is no group ${name}`) }
    }
    if (takes("=")) return look(false, false)
    if (takes("!")) return look(false, true)
    if (takes("<=")) return look(true, false)
    if (takes("<!")) return look(true, true)
    if (takes("#")) {
      until(")")
      return { _tag: "Sequence", parts: [] }
    }
    if (takes(">")) return fail("atomic groups are not translated")
    if (takes("(")) return fail("conditions are not translated")
    const [head = "", on = "", , off = ""] =
      /^([ims]*)(-([ims]+))?:/.exec(characters.slice(place, place + 12).join("")) ?? []
    if (head !== "") {
      place += head.length
      return { _tag: "Flags", body: closed(), on, off }
    }
    return fail(`(?${characters.slice(place, place + 8).join("")} is no group that is translated`)
  }

  const atom = (): Node => {
    const character = next()
    switch (character) {
      case ".":
        return { _tag: "Any" }
      case "^":
        return { _tag: "Start", ofText: false }
      case "$":
        return { _tag: "End", ofText: false }
      case "[":
        return set()
      case "\\":
        return escape()
      case "(":
        return group()
      case "*":
      case "+":
      case "?":
        return fail(`${character} repeats nothing`)
      default:
        return { _tag: "Literal", character }
    }
  }

  /** The bounds of a repetition, or undefined where there is none: a brace that is no bound stands for itself. */
  const bounds = (): readonly [number, number] | undefined => {
    if (takes("*")) return [0, Infinity]
    if (takes("+")) return [1, Infinity]
    if (takes("?")) return [0, 1]
    const [whole = "", least = "", comma = "", most = ""] =
      /^\{(\d*)(,?)(\d*)\}/.exec(characters.slice(place, place + 24).join("")) ?? []
    if (whole === "" || whole === "{}") return undefined
    place += whole.length
    const low = least === "" ? 0 : Number(least)
    const high = comma === "" ? low : most === "" ? Infinity : Number(most)
    return low <= high ? [low, high] : fail("a repetition's bounds are the wrong way round")
  }

  /** Under (?x), space and comments between parts. */
  const skip = (): void => {
    if (!flags.has("x")) return
    for (;;) {
      const character = peek()
      if (character === "#") while (peek() !== undefined && next() !== "\n");
      else if (character !== undefined && /^[ \t\n\r\f\v]$/.test(character)) place++
      else return
    }
  }

  const sequence = (): Node => {
    const parts: Array<Node> = []
    for (skip(); peek() !== undefined && peek() !== "|" && peek() !== ")"; skip()) {
      const body = atom()
      skip()
      const found = bounds()
      if (found === undefined) {
        parts.push(body)
        continue
      }
      if (peek() === "+") fail("possessive repetitions are not translated")
      const how = takes("?") ? "lazy" : "greedy"
      parts.push({ _tag: "Repeat", body, least: found[0], most: found[1], how })
      skip()
      if (bounds() !== undefined) fail("a repetition is repeated")
    }
    return { _tag: "Sequence", parts }
  }

  function choice(): Node {
    if (++depth > deepest) fail(`it is nested more than ${deepest} deep`)
    const options = [sequence()]
    while (takes("|")) options.push(sequence())
    depth--
    return options.length === 1 && options[0] !== undefined ? options[0] : { _tag: "Choice", options }
  }

  const [head = "", letters = ""] = /^\(\?([aiLmsux]+)\)/.exec(source) ?? []
  for (const letter of letters) flags.add(letter)
  if (flags.has("L")) fail("the flag L is for bytes")
  place = [...head].length
  const node = choice()
  if (peek() !== undefined) fail("a bracket is closed that is not open")
  return { node, flags, groups }
}
