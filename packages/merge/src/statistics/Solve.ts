/**
 * Solves the tensors of a merge that have equations, before the engine runs: into a file of f32 that it then rounds.
 *
 * A few tensors are in memory at once, one per thread, and written in order as they are done.
 */
import { at, known } from "@hila/core/Lookup"
import { Dtype, Safetensors, SafetensorsWriter, WeightStatistics, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { availableParallelism } from "node:os"
import { join } from "node:path"
import type { Solved } from "./dense/Regression.ts"
import type { EngineError } from "../MergeError.ts"
import { definitions } from "../methods/registry.ts"
import type { OutputTensor } from "../plan/Plan.ts"
import * as Equations from "./Equations.ts"
import * as Threads from "./Threads.ts"

/** Models below so many scalars are solved on the calling thread. */
const SMALL = 1 << 21
const MOST_THREADS = 4
/** What one thread can have to compute in, of 4 GiB. */
const MOST_BYTES = 4 * 2 ** 30 - (8 << 20)

const threadsFor = (all: ReadonlyArray<Equations.Equations>, threads: number | undefined): number => {
  const scalars = all.reduce((sum, { columns, rows }) => sum + rows * columns, 0)
  const wanted = threads ?? (scalars < SMALL ? 0 : Math.min(availableParallelism(), MOST_THREADS))
  return Math.min(wanted, all.length)
}

const equationsOf = (tensors: ReadonlyArray<OutputTensor>) =>
  tensors.flatMap((tensor) => Equations.of(tensor) ?? [])

/** The most memory that solving takes. */
export const memoryBound = (tensors: ReadonlyArray<OutputTensor>, threads: number | undefined): number => {
  const all = equationsOf(tensors)
  if (all.length === 0) return 0
  const largest = Math.max(...all.map((equations) => Equations.bytesOf(equations).all))
  return (160 << 20) + Math.max(1, threadsFor(all, threads)) * (largest + (40 << 20))
}

/** Bytes of the file of solved tensors. */
export const diskBytes = (tensors: ReadonlyArray<OutputTensor>): number =>
  equationsOf(tensors).reduce((sum, { columns, rows }) => sum + 4 * rows * columns, 0)

/** Why the equations of a merge cannot be solved, if they cannot; known from headers. */
export const problemOf = (tensors: ReadonlyArray<OutputTensor>): string | undefined => {
  const all = equationsOf(tensors)
  const solves = tensors.some(
    ({ method }) => method !== undefined && definitions[method].statistics?.use === "equations",
  )
  if (solves && all.length === 0) return "no tensor of the models is in them: they are of other models"
  const large = all.find((equations) => Equations.bytesOf(equations).space > MOST_BYTES)
  return large === undefined
    ? undefined
    : `the covariances of ${large.tensor.name} are too large to be solved in full: collect them by blocks`
}

/** A merge whose statistics are in its tensors' values and files, and what was found on the way. */
export interface Realised {
  readonly tensors: ReadonlyArray<OutputTensor>
  readonly notes: ReadonlyArray<string>
}

/** Solves what has equations and reads what is needed by column; `scratch` is a directory that outlives the merge. */
export const realise = Effect.fnUntraced(function* (
  tensors: ReadonlyArray<OutputTensor>,
  scratch: string,
  threads: number | undefined,
): Effect.fn.Return<Realised, SafetensorsError | EngineError> {
  const withColumns = yield* Effect.forEach(tensors, columnsOf)
  const all = equationsOf(withColumns)
  if (all.length === 0) return { tensors: withColumns, notes: [] }
  const path = join(scratch, "solved.safetensors")
  const found = yield* Effect.scoped(write(all, path, threadsFor(all, threads)))
  const { tensors: written } = yield* Safetensors.open(path)
  return {
    tensors: withColumns.map((tensor) => {
      const solved = written.get(tensor.name)
      return solved === undefined ? tensor : { ...tensor, solved }
    }),
    notes: notesOf(found, tensors.length),
  }
})

interface Found extends Omit<Solved, "values"> {
  readonly name: string
}

const write = Effect.fnUntraced(function* (
  all: ReadonlyArray<Equations.Equations>,
  path: string,
  threads: number,
) {
  const solve = yield* Threads.make(threads)
  const one = Effect.fnUntraced(function* (equations: Equations.Equations) {
    const work = yield* Equations.read(equations)
    const solved = yield* solve(equations.tensor.name, work)
    return { ...solved, values: Equations.stored(equations, solved.values) }
  })
  const started: Array<Fiber.Fiber<Solved, SafetensorsError | EngineError>> = []
  const found: Array<Found> = []
  yield* SafetensorsWriter.write(path, {
    tensors: all.map(({ tensor: { name, shape } }) => ({ name, dtype: "F32" as const, shape })),
    data: Effect.fnUntraced(function* ({ name }, put) {
      const at = found.length
      // As many as there are threads are on their way, so that only so many wait to be written.
      while (started.length < Math.min(at + Math.max(threads, 1), all.length))
        started.push(yield* Effect.forkScoped(one(known(all[started.length]))))
      const { values, ...rest } = yield* Fiber.join(known(started[at]))
      found.push({ name, ...rest })
      yield* put(Dtype.fromFloat32(values, "F32"))
    }),
  })
  return found
})

/** The magnitudes of a tensor's columns, divided by the largest, as a value of its method. */
const columnsOf = Effect.fnUntraced(function* (tensor: OutputTensor) {
  const { method, statistics, values } = tensor
  if (method !== "aim") return tensor
  const magnitudes =
    statistics.columns === undefined ? new Float32Array() : yield* WeightStatistics.read(statistics.columns)
  const largest = magnitudes.reduce((most, value) => Math.max(most, value), 0)
  const columns = Array.from(magnitudes, (value) => (largest > 0 ? value / largest : 0))
  return { ...tensor, values: { ...values, columns, transposed: statistics.transposed } }
})

const notesOf = (found: ReadonlyArray<Found>, tensors: number): ReadonlyArray<string> => {
  const worst = found.reduce((most, one) => (one.residual > most.residual ? one : most))
  const iterations = Math.max(...found.map((one) => one.iterations))
  const singular = found.filter((one) => one.singular > 0)
  return [
    `${found.length} of ${tensors} tensors were solved${iterations > 0 ? ` in at most ${iterations} iterations` : ""}; the largest residual is ${worst.residual.toExponential(1)} (${worst.name})`,
    ...(singular.length === 0
      ? []
      : [
          `${singular.length} of them (${at(singular, 0).name}${singular.length > 1 ? ", …" : ""}) had singular covariances, to whose diagonal a millionth of its mean was added`,
        ]),
  ]
}
