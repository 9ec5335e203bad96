/**
 * Reads a recipe strictly: every mistake is one line with file, line, column and, for a mistyped word, the right one.
 *
 * YAML is walked along the recipe's schema, so a key is known here exactly if the schema has it. What the values mean
 * for a method and its models is decided later; `Located.at` finds the place in the file for those mistakes too.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
  type YAMLError,
} from "yaml"
import { RecipeError } from "../MergeError.ts"
import { Recipe } from "./RecipeSchema.ts"
import { hint } from "./Suggest.ts"

/** Keys and indices from the top of a recipe to a value. */
export type Path = ReadonlyArray<string | number>

/** A recipe and the places of its values. */
export interface Located {
  readonly recipe: Recipe
  /** The text as it was given; it goes into the provenance card. */
  readonly text: string
  /** An error at the value of a path, or at the nearest value above that exists. */
  readonly error: (path: Path, problem: string) => RecipeError
  /** An error at the key that a path ends with. */
  readonly errorAtKey: (path: Path, problem: string) => RecipeError
}

interface Mistake {
  readonly offset: number
  readonly problem: string
}

/** Reads the text of a recipe; `file` is named in errors. */
export const parse = Effect.fnUntraced(function* (
  text: string,
  file: string,
): Effect.fn.Return<Located, RecipeError> {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, merge: true, prettyErrors: false })
  const fail = (offset: number, problem: string) => {
    const { col, line } = lines.linePos(offset)
    return new RecipeError({ file, line: Math.max(line, 1), column: Math.max(col, 1), problem })
  }
  const [broken] = document.errors
  if (broken !== undefined) return yield* fail(broken.pos[0], brokenText(broken, text))
  const loose = looseAlias(document)
  if (loose !== undefined) return yield* fail(loose.offset, loose.problem)
  const at = (path: Path): number => {
    for (let length = path.length; length > 0; length--) {
      const found = nodeAt(document.contents, path.slice(0, length))
      if (found !== undefined) return offsetOf(found)
    }
    return 0
  }
  const resolve = (node: Node | null) => (isAlias(node) ? (node.resolve(document) ?? null) : node)
  const nodeAt = (top: Node | null, path: Path): Node | undefined => {
    let node: Node | null = resolve(top)
    for (const step of path) {
      const found: unknown = isMap(node) || isSeq(node) ? node.get(step, true) : undefined
      if (!isNode(found)) return undefined
      node = resolve(found)
    }
    return node ?? undefined
  }
  const contents = resolve(document.contents)
  if (!isMap(contents)) return yield* fail(0, "expected a recipe: keys such as merge_method and models")
  const mistake = check(Recipe.ast, contents, resolve, "the recipe")
  if (mistake !== undefined) return yield* fail(mistake.offset, mistake.problem)
  const value = yield* Effect.try({
    try: (): unknown => document.toJS(),
    catch: (cause) => fail(0, `no YAML: ${cause instanceof Error ? cause.message : String(cause)}`),
  })
  const recipe = yield* Effect.mapError(decode(value), ({ issue }) => {
    const [first] = SchemaIssue.makeFormatterStandardSchemaV1()(issue).issues
    const path = (first?.path ?? []).flatMap((step) =>
      typeof step === "string" || typeof step === "number" ? [step] : [],
    )
    const message = (first?.message ?? "is wrong")
      .replaceAll(/\s*\n\s*/g, " ")
      .replace(/^Expected/, "expected")
    const given = nodeAt(contents, path)
    const got = message.includes(", got ") || !isScalar(given) ? "" : `, got ${String(given.value)}`
    return fail(at(path), `${nameOf(path)}: ${message}${got}`)
  })
  const atKey = (path: Path): number => {
    const parent = nodeAt(contents, path.slice(0, -1))
    const pair = isMap(parent)
      ? parent.items.find(({ key }) => isScalar(key) && key.value === path.at(-1))
      : undefined
    return pair !== undefined && isScalar(pair.key) ? offsetOf(pair.key) : at(path)
  }
  return {
    recipe,
    text,
    error: (path, problem) => fail(at(path), problem),
    errorAtKey: (path, problem) => fail(atKey(path), problem),
  }
})

/** The last key of a path, with the number of an item in its list. */
const nameOf = (path: Path): string => {
  const last = path.at(-1)
  return typeof last === "number" ? singular(nameOf(path.slice(0, -1)), last) : (last ?? "the recipe")
}

/** What the YAML reader found wrong, in a recipe's terms. */
const brokenText = ({ code, message, pos: [offset] }: YAMLError, text: string): string => {
  if (code === "MULTIPLE_DOCS") return "a second document begins here: a file holds one recipe"
  const [key] = /^[^\s:,]+/.exec(text.slice(offset)) ?? []
  return code === "DUPLICATE_KEY" && key !== undefined
    ? `the key ${key} is there twice: keep one of them`
    : `no YAML: ${message}`
}

/** An alias of nothing, or of what it stands in. */
const looseAlias = (document: Document): Mistake | undefined => {
  let found: Mistake | undefined
  visit(document, {
    Alias: (_, alias, ancestors) => {
      const named = alias.resolve(document)
      if (named !== undefined && !ancestors.includes(named)) return undefined
      const problem =
        named === undefined
          ? `there is no anchor &${alias.source} above *${alias.source}`
          : `*${alias.source} stands in what it names`
      found = { offset: offsetOf(alias), problem }
      return visit.BREAK
    },
  })
  return found
}

const decode = Schema.decodeUnknownEffect(Recipe, { onExcessProperty: "error" })

const isNode = (value: unknown): value is Node =>
  isMap(value) || isSeq(value) || isScalar(value) || isAlias(value)
const offsetOf = (node: Node): number => node.range?.[0] ?? 0

type Resolve = (node: Node | null) => Node | null

/** The first place where a node is not what the schema says, as far as kinds and keys go. */
const check = (ast: SchemaAST.AST, node: Node, resolve: Resolve, what: string): Mistake | undefined => {
  const members = membersOf(ast)
  if (members.some(SchemaAST.isUnknown)) return undefined
  if (isMap(node)) {
    const wanted = members.find(SchemaAST.isObjects)
    return wanted === undefined ? unexpected(members, node, what) : checkMap(wanted, node, resolve, what)
  }
  if (isSeq(node)) {
    const wanted = members.find(SchemaAST.isArrays)
    return wanted === undefined ? unexpected(members, node, what) : checkList(wanted, node, resolve, what)
  }
  const value = isScalar(node) ? node.value : undefined
  return members.some((member) => accepts(member, value)) ? undefined : unexpected(members, node, what)
}

const checkMap = (
  ast: SchemaAST.Objects,
  node: Node,
  resolve: Resolve,
  what: string,
): Mistake | undefined => {
  if (!isMap(node)) return undefined
  const known = ast.propertySignatures.map(({ name }) => String(name))
  const open = ast.indexSignatures[0]?.type
  const present = new Set<string>()
  for (const pair of node.items) {
    if (!isScalar(pair.key)) return { offset: offsetOf(node), problem: `${what}: keys must be plain words` }
    if (isMergeKey(pair.key.value)) continue
    const name = String(pair.key.value)
    present.add(name)
    const type = ast.propertySignatures.find((property) => property.name === name)?.type ?? open
    if (type === undefined) {
      return { offset: offsetOf(pair.key), problem: `unknown key "${name}" in ${what}${hint(name, known)}` }
    }
    const value = resolve(isNode(pair.value) ? pair.value : null)
    const mistake = value === null ? undefined : check(type, value, resolve, name)
    if (mistake !== undefined) return mistake
  }
  const merged = node.items.some((pair) => isScalar(pair.key) && isMergeKey(pair.key.value))
  const missing = ast.propertySignatures.find(
    ({ name, type }) => type.context?.isOptional !== true && !present.has(String(name)),
  )
  return missing === undefined || merged
    ? undefined
    : { offset: offsetOf(node), problem: `${what}: the key "${String(missing.name)}" is missing` }
}

/** `<<`: what it brings in is checked where it stands, and once more when the whole is decoded. */
const isMergeKey = (key: unknown): boolean => key === "<<" || typeof key === "symbol"

const checkList = (
  ast: SchemaAST.Arrays,
  node: Node,
  resolve: Resolve,
  what: string,
): Mistake | undefined => {
  if (!isSeq(node)) return undefined
  const fixed = ast.rest.length === 0
  if (node.items.length < ast.elements.length || (fixed && node.items.length > ast.elements.length)) {
    const expected = fixed ? `${ast.elements.length}` : `at least ${ast.elements.length}`
    return {
      offset: offsetOf(node),
      problem: `${what}: expected ${expected} in the list, got ${node.items.length}`,
    }
  }
  for (const [index, item] of node.items.entries()) {
    const type = ast.elements[index] ?? ast.rest[0]
    const value = resolve(isNode(item) ? item : null)
    if (type === undefined || value === null) continue
    const mistake = check(type, value, resolve, singular(what, index))
    if (mistake !== undefined) return mistake
  }
  return undefined
}

const singular = (what: string, index: number) => `${what.replace(/s$/, "")} ${index + 1}`

const membersOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> =>
  SchemaAST.isUnion(ast) ? ast.types.flatMap(membersOf) : [ast]

const accepts = (ast: SchemaAST.AST, value: unknown): boolean => {
  if (SchemaAST.isString(ast)) return typeof value === "string"
  if (SchemaAST.isNumber(ast)) return typeof value === "number"
  if (SchemaAST.isBoolean(ast)) return typeof value === "boolean"
  if (SchemaAST.isNull(ast)) return value === null
  return SchemaAST.isLiteral(ast) && ast.literal === value
}

const unexpected = (members: ReadonlyArray<SchemaAST.AST>, node: Node, what: string): Mistake => {
  const literals = members.flatMap((member) => (SchemaAST.isLiteral(member) ? [String(member.literal)] : []))
  const value = isScalar(node) ? node.value : undefined
  const offset = offsetOf(node)
  if (literals.length > 0 && typeof value === "string") {
    return { offset, problem: `${what}: there is no "${value}"${hint(value, literals)}` }
  }
  const expected = [...literals, ...new Set(members.flatMap((member) => kindOf(member) ?? []))].join(", ")
  const got = isMap(node) ? "keys and values" : isSeq(node) ? "a list" : JSON.stringify(value)
  return { offset, problem: `${what}: expected ${expected}, got ${got}` }
}

const kindOf = (ast: SchemaAST.AST): string | undefined => {
  if (SchemaAST.isString(ast)) return "a text"
  if (SchemaAST.isNumber(ast)) return "a number"
  if (SchemaAST.isBoolean(ast)) return "true or false"
  if (SchemaAST.isArrays(ast)) return "a list"
  if (SchemaAST.isObjects(ast)) return "keys and values"
  return undefined
}
