/**
 * What a model's weights meet on data, as a safetensors file: the statistics that merge methods weigh weights with.
 *
 * A file holds one kind for one model. It is opened as a handle; tensors are read when asked for. Statistics carry the
 * names of the weights they belong to, so that a reader needs no architecture.
 */
import { Artifact, ArtifactError } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Dtype from "../checkpoint/Dtype.ts"
import { SafetensorsError } from "../ModelError.ts"
import * as Safetensors from "../checkpoint/Safetensors.ts"
import * as SafetensorsWriter from "../checkpoint/SafetensorsWriter.ts"
import { type Kind, kinds } from "./StatisticsKind.ts"
import * as StatisticsValues from "./StatisticsValues.ts"

export { type Kind, kinds } from "./StatisticsKind.ts"

/** A statistics file whose header is checked; no tensor is in memory. */
export interface WeightStatistics {
  readonly kind: Kind
  /** Absolute path. */
  readonly path: string
  /** How many examples were read, ≥ 1. */
  readonly examples: number
  /** How many tokens the means are over, ≥ 1. */
  readonly tokens: number
  /** How they were collected. */
  readonly options: Readonly<Record<string, unknown>>
  /** The linear layers among the weights that are stored as [in, out] rather than [out, in]. */
  readonly transposed: ReadonlySet<string>
  /** f32 tensors by name. */
  readonly tensors: ReadonlyMap<string, Safetensors.TensorInfo>
}

const refuse = (file: string, problem: string, expected?: string, got?: string, tensor?: string) =>
  new SafetensorsError({
    file,
    problem,
    blame: "input",
    ...(expected === undefined ? {} : { expected }),
    ...(got === undefined ? {} : { got }),
    ...(tensor === undefined ? {} : { tensor }),
  })

const parse = <A>(text: string, accepts: (value: unknown) => value is A): A | undefined => {
  try {
    const value: unknown = JSON.parse(text)
    return accepts(value) ? value : undefined
  } catch {
    return undefined
  }
}

const isNames = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((name) => typeof name === "string")

/** Opens a statistics file; fails when it is another file, or holds what its kind does not have. */
export const open = Effect.fnUntraced(function* (
  path: string,
): Effect.fn.Return<WeightStatistics, SafetensorsError> {
  const { metadata, path: file, tensors } = yield* Safetensors.open(path)
  const named = metadata["hila.statistics"]
  const kind = kinds.find((known) => known === named)
  if (kind === undefined) {
    const got = named === undefined ? "no such entry" : JSON.stringify(named)
    const expected = `__metadata__ "hila.statistics" to be one of ${kinds.join(", ")}`
    return yield* refuse(file, "holds no weight statistics", expected, got)
  }
  const [examples, tokens] = [Number(metadata["examples"]), Number(metadata["tokens"])]
  for (const [name, count] of [
    ["examples", examples],
    ["tokens", tokens],
  ] as const) {
    if (Number.isSafeInteger(count) && count >= 1) continue
    return yield* refuse(file, `__metadata__ "${name}"`, "a whole number from 1", `${metadata[name]}`)
  }
  const { options: optionsText = "{}", transposed: transposedText = "[]" } = metadata
  const options = parse(optionsText, Predicate.isObject)
  if (options === undefined) {
    return yield* refuse(file, '__metadata__ "options"', "a JSON object", optionsText)
  }
  const transposed = parse(transposedText, isNames)
  if (transposed === undefined) {
    return yield* refuse(file, '__metadata__ "transposed"', "a JSON list of names", transposedText)
  }
  for (const { dtype, name } of tensors.values()) {
    if (dtype !== "F32") return yield* refuse(file, "type of statistics", "F32", dtype, name)
  }
  return { kind, path: file, examples, tokens, options, transposed: new Set(transposed), tensors }
})

/** The values of a statistic `[...shape]`, row-major; fails where they are none that data can give. */
export const read = (info: Safetensors.TensorInfo): Effect.Effect<Float32Array, SafetensorsError> =>
  Effect.flatMap(Safetensors.read(info), (bytes) => {
    const values = Dtype.toFloat32(bytes, "F32")
    const problem = StatisticsValues.problemOf(info, values)
    if (problem === undefined) return Effect.succeed(values)
    const { expected, got } = problem
    return Effect.fail(refuse(info.file, "values of statistics", expected, got, info.name))
  })

/** What `write` needs beside where to. */
export interface Options<E, R> extends Pick<WeightStatistics, "kind" | "examples" | "tokens" | "options"> {
  /** Absent: none. */
  readonly transposed?: ReadonlyArray<string>
  /** Names and shapes; all are written as F32. */
  readonly tensors: ReadonlyMap<string, ReadonlyArray<number>>
  /** The values of one tensor `[...shape]`, asked for once per tensor in the order of `tensors`. */
  readonly values: (name: string) => Effect.Effect<Float32Array, E, R>
}

/** Writes a statistics file, a tensor at a time, and opens it. */
export const write = Effect.fnUntraced(function* <E, R>(
  path: string,
  { examples, kind, options, tensors, tokens, transposed = [], values }: Options<E, R>,
): Effect.fn.Return<WeightStatistics, E | SafetensorsError, R> {
  yield* SafetensorsWriter.write(path, {
    metadata: {
      "hila.statistics": kind,
      examples: `${examples}`,
      tokens: `${tokens}`,
      options: JSON.stringify(options),
      ...(transposed.length === 0 ? {} : { transposed: JSON.stringify(transposed) }),
    },
    tensors: [...tensors].map(([name, shape]) => ({ name, dtype: "F32" as const, shape })),
    data: ({ name }, to) => Effect.flatMap(values(name), (data) => to(Dtype.fromFloat32(data, "F32"))),
  })
  return yield* open(path)
})

const id = "weight-statistics"
const asFile = Artifact.file(id)

/** A statistics file; decoding opens its header only. */
export const artifact: Artifact.Artifact<WeightStatistics> = Artifact.make({
  id,
  kind: "file",
  encode: asFile.encode,
  decode: (content) =>
    Effect.flatMap(asFile.decode(content), ({ path }) =>
      Effect.mapError(
        open(path),
        ({ blame, message }) => new ArtifactError({ artifact: id, path, problem: message, blame }),
      ),
    ),
  summary: ({ examples, kind, tensors, tokens }) =>
    `${kind} of ${tensors.size} tensors over ${examples} examples, ${tokens} tokens`,
})
