/**
 * Reads a recipe strictly: every mistake is one line with file, line, column and, for a mistyped word, the right one.
 *
 * What the values mean for a method and its models is decided later; `Located.error` finds the place in the file for
 * those mistakes too.
 */
import { entry } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { isMap, isSeq, type Node } from "yaml"
import { RecipeError } from "../MergeError.ts"
import * as Reader from "./Reader.ts"
import { type ModelReference, Recipe } from "./RecipeSchema.ts"
import * as Reference from "./Reference.ts"
import * as Yaml from "./Yaml.ts"

/** Keys and indices from the top of a recipe to a value. */
export type Path = ReadonlyArray<string | number>

/** A recipe and the places of its values. */
export interface Located {
  readonly recipe: Recipe
  /** The text as it was given; it goes into the provenance card. */
  readonly text: string
  /** The parts of a reference to a model. */
  readonly reference: (reference: ModelReference) => Reference.Reference
  /** What of the file has no effect of its own. */
  readonly notes: ReadonlyArray<string>
  /** An error at the value of a path, or at the nearest value above that exists. */
  readonly error: (path: Path, problem: string) => RecipeError
  /** An error at the key that a path ends with. */
  readonly errorAtKey: (path: Path, problem: string) => RecipeError
}

const mixtures =
  "is a key of recipes for mixtures of experts (mergekit-moe): models are merged here, and not joined to a mixture"

/** Keys that no recipe of a merge has, and whose file another program is for. */
const otherPrograms: Readonly<Record<string, string>> = {
  experts: mixtures,
  gate_mode: mixtures,
  experts_per_token: mixtures,
  shared_experts: mixtures,
  genome:
    "is a key of searches for recipes (mergekit-evolve): a recipe of one merge is expected, a search over its numbers is hila sweep",
}

/** Reads the text of a recipe; `file` is named in errors. */
export const parse = Effect.fnUntraced(function* (
  text: string,
  file: string,
): Effect.fn.Return<Located, RecipeError> {
  const yaml = Yaml.parse(text)
  const fail = (offset: number, problem: string) => {
    const { col, line } = yaml.lines.linePos(offset)
    return new RecipeError({ file, line: Math.max(line, 1), column: Math.max(col, 1), problem })
  }
  if ("problem" in yaml) return yield* fail(yaml.offset, yaml.problem)
  const { contents } = yaml
  if (contents === undefined || !isMap(contents))
    return yield* fail(0, "expected a recipe: keys such as merge_method and models")
  const other = yaml.membersOf(contents).find(({ name }) => Object.hasOwn(otherPrograms, name))
  if (other !== undefined)
    return yield* fail(Yaml.offsetOf(other.key), `"${other.name}" ${entry(otherPrograms, other.name)}`)
  const read = Reader.read(yaml, Recipe.ast, contents)
  if (Result.isFailure(read)) return yield* fail(read.failure.offset, read.failure.problem)
  const { holders, value } = read.success
  const nodeAt = (path: Path): Node | undefined =>
    path.reduce((node: Node | undefined, step) => {
      if (isMap(node)) return yaml.membersOf(node).find(({ name }) => name === step)?.value
      return isSeq(node) ? yaml.itemsOf(node)[Number(step)] : undefined
    }, contents)
  const at = (path: Path): number => {
    for (let length = path.length; length > 0; length--) {
      const found = nodeAt(path.slice(0, length))
      if (found !== undefined) return Yaml.offsetOf(found)
    }
    return 0
  }
  const recipe = yield* Effect.mapError(decode(value), ({ issue }) => {
    const [first] = SchemaIssue.makeFormatterStandardSchemaV1()(issue).issues
    const path = (first?.path ?? []).flatMap((step) =>
      typeof step === "string" || typeof step === "number" ? [step] : [],
    )
    const message = (first?.message ?? "is wrong")
      .replaceAll(/\s*\n\s*/g, " ")
      .replace(/^Expected/, "expected")
    const node = nodeAt(path)
    const given = node === undefined ? undefined : Yaml.scalarOf(node)
    const got = message.includes(", got ") || given === undefined ? "" : `, got ${String(given)}`
    return fail(at(path), `${nameOf(path)}: ${message}${got}`)
  })
  const atKey = (path: Path): number => {
    const parent = nodeAt(path.slice(0, -1))
    const member =
      parent === undefined ? undefined : yaml.membersOf(parent).find(({ name }) => name === path.at(-1))
    return member === undefined ? at(path) : Yaml.offsetOf(member.key)
  }
  return {
    recipe,
    text,
    reference: Reference.parse,
    notes: holders.length === 0 ? [] : [`keys that do nothing but hold anchors: ${holders.join(", ")}`],
    error: (path, problem) => fail(at(path), problem),
    errorAtKey: (path, problem) => fail(atKey(path), problem),
  }
})

/** The last key of a path, with the number of an item in its list. */
const nameOf = (path: Path): string => {
  const last = path.at(-1)
  return typeof last === "number" ? Reader.singular(nameOf(path.slice(0, -1)), last) : (last ?? "the recipe")
}

const decode = Schema.decodeUnknownEffect(Recipe, { onExcessProperty: "error" })
