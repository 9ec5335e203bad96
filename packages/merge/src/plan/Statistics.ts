/**
 * The statistics of a merge, checked against the methods that use them: which file goes with which model, and which of
 * its tensors with which weight.
 */
import { at, known } from "@hila/core/Lookup"
import { Architecture, type Checkpoint, type Safetensors, type WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import type { RecipeError } from "../MergeError.ts"
import type { Statistics as Needed } from "../methods/Definition.ts"
import type { Name } from "../methods/names.ts"
import { definitions } from "../methods/registry.ts"
import type { Located, Path } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import type { Companions } from "./Companions.ts"
import * as Overrides from "./Overrides.ts"

type File = WeightStatistics.WeightStatistics
type Info = Safetensors.TensorInfo

/** The factors of a model's curvature at one weight. */
export interface Factors {
  /** Of the inputs; of an embedding, as two pairs of factors. */
  readonly terms: ReadonlyArray<{ readonly left: Info | undefined; readonly right: Info }>
}

/** What statistics a tensor of the result has. */
export interface Uses {
  readonly elements: ReadonlyArray<Info>
  readonly columns: Info | undefined
  /** One per model; undefined where the tensor has none. */
  readonly equations: ReadonlyArray<Factors> | undefined
  /** Whether the weight is stored as [in, out]. */
  readonly transposed: boolean
}

export const none: Uses = { elements: [], columns: undefined, equations: undefined, transposed: false }

/** The statistics of a merge. */
export interface Statistics {
  readonly of: (source: Slices.Source) => File | undefined
  readonly base: File | undefined
  /** Weights stored as [in, out]. */
  readonly transposed: ReadonlySet<string>
}

/** The statistics of a recipe; fails where a method lacks what it needs, or a file is of another kind. */
export const of = Effect.fnUntraced(function* (
  located: Located,
  sliced: Slices.Sliced,
  like: Checkpoint.Checkpoint,
  companions: Companions,
): Effect.fn.Return<Statistics, RecipeError> {
  const used = Overrides.methodsOf(located).flatMap((name) => {
    const needed = definitions[name].statistics
    return needed === undefined ? [] : [{ name, needed }]
  })
  const bases = new Set(sliced.slices.flatMap(({ base }) => (base === undefined ? [] : [base])))
  const find = (source: Slices.Source) =>
    bases.has(source) ? companions.baseStatistics : companions.statistics(source)
  const anyModels = used.some(({ needed }) => needed.of !== "base")
  const anyBase = used.some(({ name, needed }) => needed.of !== "models" || definitions[name].base === "none")
  for (const slice of sliced.slices) {
    for (const { name, needed } of used) {
      const sources = Slices.viewOf(slice, name).sources
      for (const source of needed.of === "base" ? [] : sources)
        yield* checkFile(located, name, needed, source.path, Reference.text(source.reference), find(source))
    }
    const unused = anyModels ? undefined : slice.sources.find((source) => find(source) !== undefined)
    if (unused !== undefined) {
      return yield* located.error([...unused.path, "statistics"], unusedText(located, "the models"))
    }
  }
  for (const { name, needed } of used) {
    if (needed.of === "models") continue
    const path = located.recipe.base_statistics == null ? ["base_model"] : ["base_statistics"]
    yield* checkFile(located, name, needed, path, "the base", companions.baseStatistics)
  }
  if (!anyBase && companions.baseStatistics !== undefined) {
    return yield* located.error(["base_statistics"], unusedText(located, "the base"))
  }
  const shape =
    used.length === 0 ? undefined : yield* Effect.option(Architecture.resolve(like.config, like.tensors))
  const transposed = new Set<string>()
  if (shape?._tag === "Some") {
    for (const { down, gate, key, output, query, up, value } of shape.value.layers) {
      for (const projection of [query, key, value, output, gate, up, down])
        if (projection?.transposed === true) transposed.add(projection.weight)
    }
  }
  return { of: find, base: companions.baseStatistics, transposed }
})

const unusedText = ({ recipe: { merge_method } }: Located, whose: string) => {
  const known = Object.entries(definitions).flatMap(([name, { statistics }]) =>
    statistics === undefined ? [] : [name],
  )
  return `statistics: ${merge_method} uses none of ${whose}; methods that use statistics: ${known.join(", ")}`
}

const checkFile = (
  { error }: Located,
  name: Name,
  { kinds }: Needed,
  path: Path,
  whose: string,
  file: File | undefined,
): Effect.Effect<void, RecipeError> => {
  const wanted = kinds.join(" or ")
  if (file === undefined) {
    const key = whose === "the base" ? "base_statistics" : "statistics"
    return Effect.fail(error(path, `${name} needs statistics of kind ${wanted} of ${whose}: add ${key}`))
  }
  if (kinds.some((kind) => kind === file.kind)) return Effect.void
  const at = whose === "the base" ? path : [...path, "statistics"]
  return Effect.fail(error(at, `${name} needs statistics of kind ${wanted}, ${file.path} holds ${file.kind}`))
}

/** A tensor of the result, and what it is called in each source. */
interface Subject {
  readonly method: Name
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly sources: ReadonlyArray<Slices.Source>
  readonly nameIn: (source: Slices.Source) => string
  /** Whether an embedding's factors are asked for. */
  readonly embedding: boolean
}

/** The statistics of a tensor; fails where a file lacks them or has them in another shape. */
export const ofTensor = Effect.fnUntraced(function* (
  located: Located,
  statistics: Statistics,
  subject: Subject,
): Effect.fn.Return<Uses, RecipeError> {
  const { method, name, nameIn, shape, sources } = subject
  const needed = definitions[method].statistics
  if (needed === undefined) return none
  const transposed = statistics.transposed.has(name) && shape.length === 2
  const refuse = (source: Slices.Source | undefined, problem: string) =>
    located.error(
      source === undefined ? ["base_statistics"] : [...source.path, "statistics"],
      `statistics of ${source === undefined ? "the base" : Reference.text(source.reference)}: ${problem}`,
    )
  const [out, inside] = transposed ? [shape[1], shape[0]] : [shape[0], shape.at(-1)]

  if (needed.use === "elements") {
    const elements: Array<Info> = []
    const all = [...sources, ...(needed.of === "both" ? [undefined] : [])]
    for (const source of all) {
      const file = source === undefined ? statistics.base : statistics.of(source)
      const own = source === undefined ? name : nameIn(source)
      const info = file?.tensors.get(own)
      if (info === undefined) {
        return yield* refuse(source, `the tensor ${own} is missing`)
      }
      const [expected, got] = [shape.join(", "), info.shape.join(", ")]
      if (expected !== got)
        return yield* refuse(source, `${own} has shape [${got}], the weight has [${expected}]`)
      elements.push(info)
    }
    return { ...none, elements }
  }

  if (needed.use === "columns") {
    const own = `${name}.magnitude`
    const info = statistics.base?.tensors.get(own)
    if (info === undefined) return none
    if (info.shape.length !== 1 || info.shape[0] !== inside) {
      return yield* refuse(undefined, `${own} has shape [${info.shape.join(", ")}], expected [${inside}]`)
    }
    return { ...none, columns: info, transposed }
  }

  const found = sources.map((source) => factorsOf(known(statistics.of(source)), nameIn(source), subject))
  const has = found.findIndex((factors) => factors !== undefined)
  const lacks = found.indexOf(undefined)
  if (has === -1) return none
  const [first] = found
  if (lacks !== -1 || first === undefined) {
    const source = at(sources, lacks)
    return yield* refuse(
      source,
      `the tensor ${nameIn(source)}.input is missing; ${Reference.text(at(sources, has).reference)} has it`,
    )
  }
  const equations = found.flatMap((factors) => factors ?? [])
  for (const [index, { terms }] of equations.entries()) {
    const source = at(sources, index)
    if (terms.length !== first.terms.length)
      return yield* refuse(source, `${name} has other factors than in the first model`)
    for (const [at, { left, right }] of terms.entries()) {
      const reference = known(first.terms[at])
      for (const [info, extent, other] of [
        [right, inside, reference.right],
        [left, out, reference.left],
      ] as const) {
        if (info === undefined && other === undefined) continue
        const problem =
          info === undefined ? "the output gradients are missing" : formProblem(info, extent ?? 1)
        if (problem !== undefined) return yield* refuse(source, `${info?.name ?? name}: ${problem}`)
        if (info?.shape.join() !== other?.shape.join()) {
          return yield* refuse(
            source,
            `${info?.name ?? name} has shape [${info?.shape.join(", ") ?? ""}], in the first model [${other?.shape.join(", ") ?? ""}]: collect all in one form`,
          )
        }
      }
    }
  }
  return { ...none, equations, transposed }
})

/** The factors of a weight in a file, if it has any. */
const factorsOf = (
  { kind, tensors }: File,
  name: string,
  { embedding, method }: Subject,
): Factors | undefined => {
  const of = (suffix: string) => tensors.get(`${name}.${suffix}`)
  const [frequency, gradient, headInput, headResidual] = [
    of("frequency"),
    of("outputGradient"),
    of("headInput"),
    of("headResidual"),
  ]
  if (frequency !== undefined) {
    if (!embedding || gradient === undefined) return undefined
    const head =
      headInput === undefined || headResidual === undefined ? [] : [{ left: headResidual, right: headInput }]
    return { terms: [{ left: frequency, right: gradient }, ...head] }
  }
  const input = of("input")
  if (input === undefined) return undefined
  const left = kind === "kronecker" && method === "factored" ? gradient : undefined
  return { terms: [{ left, right: input }] }
}

const formProblem = ({ shape }: Info, extent: number): string | undefined => {
  const [a = 0, b = 0, c = 0] = shape
  const fits =
    (shape.length === 1 && a === extent) ||
    (shape.length === 2 && a === extent && b === extent) ||
    (shape.length === 3 && b === c && a * b === extent)
  return fits
    ? undefined
    : `has shape [${shape.join(", ")}], expected [${extent}], [${extent}, ${extent}] or blocks that make up ${extent}`
}
