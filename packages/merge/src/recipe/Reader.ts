/**
 * Reads nodes along the recipe's schema: a key is known exactly if the schema has it, and a scalar is read as what is
 * wanted where it stands.
 *
 * Kinds and keys are settled here; ranges and the like are left to the schema itself.
 */
import * as Result from "effect/Result"
import * as SchemaAST from "effect/SchemaAST"
import { isMap, isSeq, type Node } from "yaml"
import type { Scalar as RecipeScalar } from "./RecipeSchema.ts"
import * as Scalar from "./Scalar.ts"
import { hint, nearest } from "./Suggest.ts"
import { type Member, type Mistake, offsetOf, scalarOf, type Yaml } from "./Yaml.ts"

/** A value, and the keys at the top that do nothing themselves. */
export interface Read {
  readonly value: unknown
  readonly holders: ReadonlyArray<string>
}

/** The most values that aliases may unfold to. */
const most = 100_000

type Reading = Result.Result<unknown, Mistake>

/** Reads the top of a recipe. */
export const read = (yaml: Yaml, ast: SchemaAST.AST, top: Node): Result.Result<Read, Mistake> => {
  const holders = new Set<string>()
  const kinds = new Map<SchemaAST.AST, ReadonlyArray<SchemaAST.AST>>()
  let count = 0

  const valueOf = (type: SchemaAST.AST, node: Node | undefined, what: string): Reading => {
    count++
    if (node === undefined) return Result.succeed(null)
    if (count > most) return mistake(node, `the recipe unfolds to more than ${most} values`)
    const members = kinds.get(type) ?? membersOf(type)
    kinds.set(type, members)
    if (isMap(node)) {
      const wanted = members.find(SchemaAST.isObjects)
      return wanted === undefined ? unexpected(members, node, what) : mapOf(wanted, node, what)
    }
    if (isSeq(node)) {
      const wanted = members.find(SchemaAST.isArrays)
      return wanted === undefined ? unexpected(members, node, what) : listOf(wanted, node, what)
    }
    const value = scalarOf(node) ?? null
    const found = value === null ? null : wantedOf(members, value, textOf(node), what)
    return found === undefined ? unexpected(members, node, what) : Result.succeed(found)
  }

  const mapOf = (type: SchemaAST.Objects, node: Node, what: string): Reading => {
    const known = type.propertySignatures.map(({ name }) => String(name))
    const open = type.indexSignatures[0]?.type
    const values = new Map<string, unknown>()
    for (const member of yaml.membersOf(node)) {
      const { key, name, value } = member
      const wanted = type.propertySignatures.find((property) => property.name === name)?.type ?? open
      if (wanted === undefined) {
        if (node !== top || !holdsAnchors(yaml, member, known))
          return mistake(key, `unknown key "${name}" in ${what}${hint(name, known)}`)
        holders.add(name)
        continue
      }
      if (values.has(name)) return mistake(key, `the key ${name} is there twice: keep one of them`)
      const found = valueOf(wanted, value, name)
      if (Result.isFailure(found)) return found
      values.set(name, found.success)
    }
    const missing = type.propertySignatures.find(
      ({ name, type: { context } }) => context?.isOptional !== true && !values.has(String(name)),
    )
    return missing === undefined
      ? Result.succeed(Object.fromEntries(values))
      : mistake(node, `${what}: the key "${String(missing.name)}" is missing`)
  }

  const listOf = (type: SchemaAST.Arrays, node: Node, what: string): Reading => {
    const items = yaml.itemsOf(node)
    const fixed = type.rest.length === 0
    if (items.length < type.elements.length || (fixed && items.length > type.elements.length)) {
      const expected = fixed ? `${type.elements.length}` : `at least ${type.elements.length}`
      return mistake(node, `${what}: expected ${expected} in the list, got ${items.length}`)
    }
    const values: Array<unknown> = []
    for (const [index, item] of items.entries()) {
      const wanted = type.elements[index] ?? type.rest[0]
      if (wanted === undefined) continue
      const found = valueOf(wanted, item, singular(what, index))
      if (Result.isFailure(found)) return found
      values.push(found.success)
    }
    return Result.succeed(values)
  }

  return Result.map(valueOf(ast, top, "the recipe"), (value) => ({ value, holders: [...holders] }))
}

const mistake = (node: Node, problem: string): Result.Result<never, Mistake> =>
  Result.fail({ offset: offsetOf(node), problem })

/**
 * Whether a key that the format has not is there for its anchors (`const_tag: &A 0.5`) or for people (`x-…`). Where it
 * is nearly a key of the format, its anchors must be used.
 */
const holdsAnchors = (yaml: Yaml, { name, value }: Member, known: ReadonlyArray<string>): boolean => {
  if (name.startsWith("x-")) return true
  const anchors = value === undefined ? "none" : yaml.anchorsIn(value)
  return anchors === "used" || (anchors === "unused" && nearest(name, known) === undefined)
}

/** An item of a list by its number: `model 2` of `models`. */
export const singular = (what: string, index: number) => `${what.replace(/s$/, "")} ${index + 1}`

const membersOf = (ast: SchemaAST.AST): ReadonlyArray<SchemaAST.AST> =>
  SchemaAST.isUnion(ast) ? ast.types.flatMap(membersOf) : [ast]

/** The text of a scalar as it stands in the recipe. */
const textOf = (node: Node): string => ("value" in node ? String(node.value) : "")

/** Keys whose words may have the prefix of the library that they come from. */
const prefixed = new Set(["dtype", "out_dtype"])

/** A scalar as one of the kinds that are wanted: as YAML reads it where it may be that, else as what it can be read as. */
const wantedOf = (
  members: ReadonlyArray<SchemaAST.AST>,
  value: Exclude<RecipeScalar, null>,
  text: string,
  what: string,
): RecipeScalar | undefined => {
  const word = prefixed.has(what) && typeof value === "string" ? value.replace(/^torch\./, "") : value
  if (members.some((member) => accepts(member, word))) return word
  const number = members.some(SchemaAST.isNumber) ? Scalar.toNumber(value) : undefined
  const flag = members.some(SchemaAST.isBoolean) ? Scalar.toFlag(value) : undefined
  return number ?? flag ?? (members.some(SchemaAST.isString) ? text : undefined)
}

const accepts = (ast: SchemaAST.AST, value: RecipeScalar): boolean => {
  if (SchemaAST.isString(ast)) return typeof value === "string"
  if (SchemaAST.isNumber(ast)) return typeof value === "number"
  if (SchemaAST.isBoolean(ast)) return typeof value === "boolean"
  return SchemaAST.isLiteral(ast) && ast.literal === value
}

const unexpected = (members: ReadonlyArray<SchemaAST.AST>, node: Node, what: string): Reading => {
  const literals = members.flatMap((member) => (SchemaAST.isLiteral(member) ? [String(member.literal)] : []))
  const value = scalarOf(node)
  if (literals.length > 0 && typeof value === "string")
    return mistake(node, `${what}: there is no "${value}"${hint(value, literals)}`)
  const expected = [...literals, ...new Set(members.flatMap((member) => kindOf(member) ?? []))].join(", ")
  const got = isMap(node) ? "keys and values" : isSeq(node) ? "a list" : JSON.stringify(value)
  return mistake(node, `${what}: expected ${expected}, got ${got}`)
}

const kindOf = (ast: SchemaAST.AST): string | undefined => {
  if (SchemaAST.isString(ast)) return "a text"
  if (SchemaAST.isNumber(ast)) return "a number"
  if (SchemaAST.isBoolean(ast)) return "true or false"
  if (SchemaAST.isArrays(ast)) return "a list"
  if (SchemaAST.isObjects(ast)) return "keys and values"
  return undefined
}
