/**
 * The YAML of a recipe as nodes: aliases followed, `<<` spread out, scalars by their texts.
 *
 * The reader of YAML is told to leave every scalar a text, since what it means depends on what is wanted there.
 */
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  visit,
  type YAMLError,
} from "yaml"
import type { Scalar as RecipeScalar } from "./RecipeSchema.ts"
import * as Scalar from "./Scalar.ts"

/** What is wrong, and where in the text. */
export interface Mistake {
  readonly offset: number
  readonly problem: string
}

/** A key and its value; `value` is undefined where nothing stands. */
export interface Member {
  readonly name: string
  readonly key: Node
  readonly value: Node | undefined
}

/** A parsed text. */
export interface Yaml {
  readonly lines: LineCounter
  readonly contents: Node | undefined
  /** The members of a map in order: its own, then those that `<<` brings in and that it does not have itself. */
  readonly membersOf: (map: Node) => ReadonlyArray<Member>
  readonly itemsOf: (list: Node) => ReadonlyArray<Node | undefined>
  /** Whether an anchor stands in a node and, if so, whether some alias names it. */
  readonly anchorsIn: (node: Node) => "none" | "unused" | "used"
}

/** Parses a text, or says what keeps it from being one document of YAML. */
export const parse = (text: string): Yaml | (Mistake & { readonly lines: LineCounter }) => {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    schema: "failsafe",
    uniqueKeys: false,
  })
  const [broken] = document.errors
  if (broken !== undefined) return { lines, offset: broken.pos[0], problem: brokenText(broken) }
  const targets = aliasesOf(document)
  if ("problem" in targets) return { lines, ...targets }
  const follow = (node: unknown): Node | undefined =>
    isAlias(node) ? targets.get(node) : isNode(node) ? node : undefined
  const odd = oddKey(document, follow)
  if (odd !== undefined) return { lines, ...odd }
  const own = ({ key, value }: Pair): ReadonlyArray<Member> => {
    const found = follow(key)
    return isScalar(found) ? [{ name: String(found.value), key: found, value: follow(value) }] : []
  }
  const membersOf = (map: Node): ReadonlyArray<Member> => {
    if (!isMap(map)) return []
    const all = map.items.flatMap(own)
    const found = all.filter(({ name }) => name !== spread)
    const names = new Set(found.map(({ name }) => name))
    for (const { name, value } of all) {
      if (name !== spread || value === undefined) continue
      for (const each of isSeq(value) ? value.items.map(follow) : [value]) {
        for (const member of each === undefined ? [] : membersOf(each)) {
          if (names.has(member.name)) continue
          names.add(member.name)
          found.push(member)
        }
      }
    }
    return found
  }
  const named = new Set(targets.values())
  return {
    lines,
    contents: follow(document.contents),
    membersOf,
    itemsOf: (list) => (isSeq(list) ? list.items.map(follow) : []),
    anchorsIn: (node) => {
      let found: "none" | "unused" | "used" = "none"
      visit(node, {
        Node: (_, each) => {
          if (isAlias(each) || each.anchor === undefined) return undefined
          found = named.has(each) ? "used" : "unused"
          return found === "used" ? visit.BREAK : undefined
        },
      })
      return found
    },
  }
}

/** The key that brings in another map's members. */
const spread = "<<"

const isNode = (value: unknown): value is Node =>
  isMap(value) || isSeq(value) || isScalar(value) || isAlias(value)

/** What each alias names; an anchor given again counts from there on. */
const aliasesOf = (document: Document): ReadonlyMap<Alias, Node> | Mistake => {
  const anchors = new Map<string, Node>()
  const found = new Map<Alias, Node>()
  let loose: Mistake | undefined
  visit(document, {
    Node: (_, node, ancestors) => {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.set(node.anchor, node)
        return undefined
      }
      const target = anchors.get(node.source)
      if (target !== undefined && !ancestors.includes(target)) {
        found.set(node, target)
        return undefined
      }
      const problem =
        target === undefined
          ? `there is no anchor &${node.source} above *${node.source}`
          : `*${node.source} stands in what it names`
      loose = { offset: offsetOf(node), problem }
      return visit.BREAK
    },
  })
  return loose ?? found
}

/** A key that is no word, or a `<<` that brings in what has no members. */
const oddKey = (document: Document, follow: (node: unknown) => Node | undefined): Mistake | undefined => {
  let odd: Mistake | undefined
  visit(document, {
    Pair: (_, { key, value }) => {
      const name = follow(key)
      const brought = follow(value)
      const isSpread = isScalar(name) && name.value === spread
      const maps = isSeq(brought) ? brought.items.map(follow) : [brought]
      if (isScalar(name) && !(isSpread && !maps.every(isMap))) return undefined
      const problem = isSpread
        ? "<<: expected keys and values, or a list of such"
        : "keys must be plain words"
      odd = { offset: name === undefined ? 0 : offsetOf(name), problem }
      return visit.BREAK
    },
  })
  return odd
}

/** Where a node begins in the text. */
export const offsetOf = (node: Node): number => node.range?.[0] ?? 0

/** A scalar as YAML 1.1 reads it; undefined for maps and lists. */
export const scalarOf = (node: Node): RecipeScalar | undefined => {
  if (!isScalar(node)) return undefined
  const text = String(node.value)
  const isText = node.tag === undefined ? node.type !== "PLAIN" : node.tag.endsWith("str")
  return isText ? text : Scalar.ofPlain(text)
}

/** What the YAML reader found wrong, in a recipe's terms. */
const brokenText = ({ code, message }: YAMLError): string =>
  code === "MULTIPLE_DOCS" ? "a second document begins here: a file holds one recipe" : `no YAML: ${message}`
