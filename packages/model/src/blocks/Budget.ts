/**
 * How a memory budget is spent on a model that runs piece by piece.
 *
 * The budget is for the whole process. A part is the runtime's own; of the rest, a quarter is for activations and three
 * quarters are for weights as f32: first a slab that every piece can pass through, then as many pieces as stay in
 * memory from one use to the next. Those are the first ones, not the latest: passes go over all pieces again and again,
 * where keeping the latest would keep none that is wanted next.
 */
import * as Result from "effect/Result"

/** Resident bytes of Node, ONNX Runtime and their threads before any weight is read. */
export const runtimeBytes = 256 * 2 ** 20

/** Pieces that may stay: their names, and their weights as f32 in bytes. */
export interface Part {
  readonly name: string
  readonly bytes: number
}

export interface Budget {
  /** Bytes of the slab for pieces that do not stay; 0 where all stay. */
  readonly slab: number
  /** Pieces that stay. */
  readonly resident: ReadonlySet<string>
  /** Bytes of activations of one run at most, unless one sequence alone needs more. */
  readonly activations: number
  /** Bytes of hidden states between pieces at most, unless one sequence alone needs more. */
  readonly streams: number
}

/** Bytes as a person reads them. */
const show = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`

/** Spends `memory` bytes on the parts in their order; fails with one line where the largest does not fit. */
export const plan = (memory: number, parts: ReadonlyArray<Part>): Result.Result<Budget, string> => {
  const free = Math.max(0, memory - runtimeBytes)
  const weights = Math.floor(free * 0.75)
  const largest = parts.reduce((max, { bytes }) => Math.max(max, bytes), 0)
  const total = parts.reduce((sum, { bytes }) => sum + bytes, 0)
  if (largest > weights) {
    const needed = runtimeBytes + Math.ceil(largest / 0.75)
    return Result.fail(
      `a memory budget of ${show(memory)} is too small: ${show(runtimeBytes)} for the runtime, ${show(largest)} for the ` +
        `weights of one block and a third of that for activations make ${show(needed)}`,
    )
  }
  const slab = total <= weights ? 0 : largest
  const resident = new Set<string>()
  let left = weights - slab
  for (const { bytes, name } of parts) {
    if (bytes > left) break
    resident.add(name)
    left -= bytes
  }
  return Result.succeed({ slab, resident, activations: Math.floor(free / 8), streams: Math.floor(free / 8) })
}
