/**
 * YAML as PyYAML reads it, with `!function` as a name: the scalars of YAML 1.1, repeated keys, merged mappings, and the
 * layouts that it lets pass.
 */
import * as Effect from "effect/Effect"
import type { Document } from "yaml"
import { TaskError } from "../EvalError.ts"
import { float } from "../internal/python.ts"
import { FunctionName } from "./TaskConfig.ts"
import * as YamlLayout from "./YamlLayout.ts"

/** A kind of plain scalar by the pattern of PyYAML, YAML 1.1 as the reference harness reads it. */
const scalar = (tag: string, test: RegExp, resolve: (text: string) => unknown) => ({
  tag: `tag:yaml.org,2002:${tag}`,
  default: true as const,
  test,
  resolve,
})

const ofSixties = (digits: string): number =>
  digits.split(":").reduce((sum, part) => sum * 60 + Number(part), 0)

/** An integer: binary, octal by a zero in front, hexadecimal, parts of sixty with colons, underscores anywhere. */
const integerOf = (text: string): number => {
  const plain = text.replaceAll("_", "").replace(/^\+/, "")
  const [sign, digits] = plain.startsWith("-") ? [-1, plain.slice(1)] : [1, plain]
  if (digits.includes(":")) return sign * ofSixties(digits)
  // An integer has no negative zero.
  return sign * Number(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits) + 0
}

const floatOf = (text: string): number => {
  const plain = text.replaceAll("_", "").toLowerCase()
  if (plain.includes(":")) return plain.startsWith("-") ? -ofSixties(plain.slice(1)) : ofSixties(plain)
  if (plain.endsWith("nan")) return Number.NaN
  return Number(plain.replace(".inf", "Infinity"))
}

const tags = [
  { tag: "!function", resolve: (text: string) => new FunctionName({ function: text.trim() }) },
  scalar("null", /^(?:~|null|Null|NULL|)$/, () => null),
  scalar("bool", /^(?:yes|Yes|YES|true|True|TRUE|on|On|ON)$/, () => true),
  scalar("bool", /^(?:no|No|NO|false|False|FALSE|off|Off|OFF)$/, () => false),
  scalar(
    "int",
    /^[-+]?(?:0b[01_]+|0[0-7_]+|0|[1-9][\d_]*|0x[\da-fA-F_]+|[1-9][\d_]*(?::[0-5]?\d)+)$/,
    integerOf,
  ),
  scalar(
    "float",
    /^(?:[-+]?\d[\d_]*\.[\d_]*(?:[eE][-+]\d+)?|[-+]?\d[\d_]*(?::[0-5]?\d)+\.[\d_]*|\.\d[\d_]*(?:[eE][-+]\d+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/,
    floatOf,
  ),
  { tag: "tag:yaml.org,2002:float", resolve: floatOf },
]

/** What a document holds; throws a line of its own where PyYAML has none for it. */
const contentOf = (
  text: string,
  document: Document,
  { isCollection, visit }: typeof import("yaml"),
): unknown => {
  // Rows of shots are documents, so their floats stay floats: 18.0 is written as it stands.
  const samples = document.getIn(["fewshot_config", "samples"], true)
  if (isCollection(samples)) {
    visit(samples, {
      Scalar: (_, node) => {
        if (typeof node.value === "number" && node.source?.includes(".") === true)
          node.value = float(node.value)
      },
    })
  }
  const cutOff = /\S[^\n]*$/.test(text)
  visit(document, {
    Scalar: (_, node) => {
      // A text on lines of its own that the file ends in, without a line break, has none in PyYAML either.
      const atEnd =
        cutOff && (node.range?.[1] ?? 0) >= text.length && node.type?.startsWith("BLOCK_") === true
      if (atEnd && typeof node.value === "string") node.value = node.value.replace(/\n$/, "")
    },
    Pair: (_, { key }) => {
      if (isCollection(key))
        throw new Misplaced(
          "a mapping stands for a name; a template in braces has to be in quotes",
          key.range?.[0],
        )
    },
  })
  return document.toJS()
}

/** What is wrong with a document, and where. */
class Misplaced extends Error {
  readonly offset: number | undefined
  constructor(message: string, offset: number | undefined) {
    super(message)
    this.offset = offset
  }
}

/** Reads the text of a file. */
export const parse = Effect.fnUntraced(function* (
  file: string,
  written: string,
): Effect.fn.Return<unknown, TaskError> {
  const library = yield* Effect.promise(() => import("yaml"))
  const { Lexer, LineCounter, parseDocument } = library
  const documentOf = (text: string) => {
    const lines = new LineCounter()
    const document = parseDocument(text, {
      schema: "failsafe",
      customTags: tags,
      // Of a repeated key the last counts, and what an anchor holds may be merged in.
      uniqueKeys: false,
      merge: true,
      lineCounter: lines,
    })
    // A comment may follow a quoted text at once.
    const problem = [...document.errors, ...document.warnings].find(
      ({ message }) => !message.startsWith("Comments must be separated"),
    )
    return { document, lines, problem, text }
  }
  return yield* Effect.try({
    try: () => {
      const plain = documentOf(YamlLayout.withBreaks(written))
      const read =
        plain.problem === undefined ? plain : documentOf(YamlLayout.indented(plain.text, () => new Lexer()))
      const { document, lines, problem, text } = read.problem === undefined ? read : plain
      const at = (offset: number | undefined) =>
        offset === undefined ? undefined : lines.linePos(offset).line
      if (problem !== undefined) {
        const [message = ""] = problem.message.split("\n")
        return { line: at(problem.pos[0]), problem: message.replace(/ at line.*$/, "") }
      }
      document.errors = []
      try {
        return { content: contentOf(text, document, library) }
      } catch (cause) {
        if (cause instanceof Misplaced) return { line: at(cause.offset), problem: cause.message }
        throw cause
      }
    },
    catch: (cause) =>
      new TaskError({
        file,
        problem: `cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      }),
  }).pipe(
    Effect.flatMap((found) =>
      "content" in found
        ? Effect.succeed(found.content)
        : Effect.fail(
            new TaskError({
              file: found.line === undefined ? file : `${file}:${found.line}`,
              problem: found.problem,
            }),
          ),
    ),
  )
})
