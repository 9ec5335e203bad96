/**
 * The streaming engine: disk → shared memory → threads → disk, with reading, computing and writing overlapped.
 *
 * Tensors are read in chunks by position into slots of the memory that the threads share; a few slots and tensors are
 * in flight at once, so while one chunk is computed others are read or written. A method with passes sees its tensor as
 * often as it needs; the system's cache holds a tensor between passes. Memory is set by the slots, not by the model:
 * `memoryBound` says how much.
 */
import { Checkpoint, type CheckpointError, Dtype, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { availableParallelism } from "node:os"
import { extend } from "../internal/webAssembly.ts"
import type { EngineError, MergeError } from "../MergeError.ts"
import * as Disk from "./Disk.ts"
import * as Layout from "./Layout.ts"
import * as Output from "./Output.ts"
import * as Phase from "./Phase.ts"
import * as Plan from "./Plan.ts"
import * as Pool from "./Pool.ts"

/** How the work is done; the result depends on none of it but the cut into shards. */
export interface Options {
  /** Threads that compute; 0: the calling one. By default 0 for small models, else one per processor, up to 8. */
  readonly threads?: number | undefined
  /** The most scalars of each input per chunk; by default as many as make chunks of 16 MiB in all. */
  readonly chunk?: number | undefined
  /** Bytes of weights per output file; one file by default. */
  readonly shardBytes?: number | undefined
  /** Told, after each chunk, the share of the result's bytes that is written, 0 to 1. */
  readonly progress?: ((share: number) => void) | undefined
}

/** A merge: what to write and where it comes from. */
export interface Merge<E, R> extends Options {
  /** For errors. */
  readonly method: string
  readonly tensors: ReadonlyArray<Plan.TensorPlan>
  /** Files that go with the weights, by relative name: absolute paths. Weight files among them are left out. */
  readonly files: Readonly<Record<string, string>>
  /** Looks at, or adds to, the complete directory before it appears under its name; failing, nothing appears. */
  readonly finish?: (directory: string) => Effect.Effect<void, E, R>
}

/** Models below so many scalars, over all inputs, are merged faster on the calling thread than threads start. */
const SMALL = 1 << 24

/** More would wait for the disk, and each takes memory. */
const MOST_THREADS = 8

const threadsFor = (tensors: ReadonlyArray<Plan.TensorPlan>, threads: number | undefined): number => {
  const scalars = tensors.reduce(
    (sum, { models, shape }) => sum + (models.length + 1) * Layout.elementsOf(shape),
    0,
  )
  return threads ?? (scalars < SMALL ? 0 : Math.min(availableParallelism(), MOST_THREADS))
}

/** Tensors (or groups) in flight. */
const TENSORS = 3

/** What the process needs besides: Node, its heap, and the code of threads. */
const RUNTIME = 160 << 20
const PER_THREAD = 40 << 20

/** The most bytes of resident memory that a merge needs, stated before it begins. */
export const memoryBound = (tensors: ReadonlyArray<Plan.TensorPlan>, options: Options = {}): number => {
  const threads = threadsFor(tensors, options.threads)
  const { arenas, slots } = working(tensors, threads, options.chunk)
  const groups = Plan.groups(tensors)
  const counts = largestOf(groups.map((group) => Phase.countsBytes(group, options.chunk)))
  return RUNTIME + threads * PER_THREAD + slots + arenas + sumOf(keptSizes(groups)) + sumOf(counts)
}

/** What the tensors in flight need at most. */
const largestOf = (sizes: ReadonlyArray<number>) => sizes.toSorted((a, b) => b - a).slice(0, TENSORS)

const sumOf = (sizes: ReadonlyArray<number>) => sizes.reduce((sum, bytes) => sum + bytes, 0)

/** More than this is not kept between passes. */
const MOST_KEPT = 1 << 30

/** Bytes of the pieces of memory in which the tensors in flight keep what they found: the largest that are needed. */
const keptSizes = (groups: ReadonlyArray<Plan.Group>): ReadonlyArray<number> => {
  const sizes = groups.map(Phase.keptBytes).filter((bytes) => bytes > 0)
  const largest = largestOf(sizes)
  return sumOf(largest) > MOST_KEPT ? [] : largest
}

/** Lends the pieces, to each tensor the smallest that will do. */
const keptOf = (pool: Pool.Pool, sizes: ReadonlyArray<number>): Phase.Kept => {
  const pieces = sizes.map((bytes) => ({ bytes, at: undefined as number | undefined, free: true }))
  return {
    take: (bytes) => {
      const piece = pieces.findLast((each) => each.free && each.bytes >= bytes)
      if (piece === undefined) return undefined
      piece.free = false
      piece.at ??= extend(pool.memory, piece.bytes)
      return piece.at
    },
    release: (at) => {
      for (const piece of pieces) if (piece.at === at) piece.free = true
    },
  }
}

/** Bytes of shared memory: for the chunks in flight, and for the threads' own arrays. */
const working = (tensors: ReadonlyArray<Plan.TensorPlan>, threads: number, chunk: number | undefined) => {
  const arena = Math.max(
    0,
    ...tensors.map((tensor) => (Plan.isMerged(tensor) ? Phase.arenaBytes(tensor) : 0)),
  )
  const slots = slotsFor(threads) * Phase.slotBytes(tensors, chunk)
  return { slots, arenas: Math.max(threads, 1) * (arena + (4 << 20)) }
}

const slotsFor = (threads: number) => (threads === 0 ? 2 : threads + 2)

/**
 * Merges and writes a checkpoint into `directory`, which must be new or empty, and opens it.
 *
 * Fails with a `MergeError` where an input or a result is not a finite number of its dtype; nothing is left behind then.
 */
export const write = Effect.fn("merge")(function* <E = never, R = never>(
  directory: string,
  merge: Merge<E, R>,
): Effect.fn.Return<
  Checkpoint.Checkpoint,
  MergeError | EngineError | CheckpointError | SafetensorsError | E,
  R
> {
  const { tensors } = merge
  const fill = (write: Output.Write) => Effect.scoped(stream(merge, counted(merge, write)))
  yield* Output.write<MergeError | EngineError | CheckpointError | E, R>(directory, {
    tensors: tensors.map(({ dtype, name, shape }) => ({ name, dtype, shape })),
    files: merge.files,
    shardBytes: merge.shardBytes,
    fill,
    finish: merge.finish,
  })
  return yield* Checkpoint.open(directory)
})

/** Writing that tells how much of the result is there. */
const counted = <E, R>({ progress, tensors }: Merge<E, R>, write: Output.Write): Output.Write => {
  if (progress === undefined) return write
  const total = sumOf(tensors.map(({ dtype, shape }) => Layout.elementsOf(shape) * Dtype.bytes(dtype)))
  let done = 0
  return (tensor, start, bytes) =>
    Effect.map(write(tensor, start, bytes), () => progress((done += bytes.length) / total))
}

/** Does the work on every tensor and hands over the bytes of the results, in any order. */
export const stream = Effect.fnUntraced(function* (
  merge: Options & Pick<Merge<never, never>, "method" | "tensors">,
  write: Output.Write,
) {
  const { chunk, tensors } = merge
  const threads = threadsFor(tensors, merge.threads)
  const { arenas, slots: bytes } = working(tensors, threads, chunk)
  // Methods may use more arrays than is assumed; memory that is not touched costs nothing.
  const groups = Plan.groups(tensors)
  const sizes = keptSizes(groups)
  const pool = yield* Pool.make(threads, bytes + 4 * arenas + sumOf(sizes) + (64 << 20))
  const read = yield* Disk.reader(tensors.flatMap(Phase.inputsOf))
  const slots = slotsOf(pool, slotsFor(threads), bytes / slotsFor(threads))
  const kept = keptOf(pool, sizes)
  const context: Phase.Context = { method: merge.method, pool, read, write, slots, kept, chunk }
  const firsts = new Map(groups.map((group) => [group.tensors[0], group]))
  yield* Effect.forEach(
    tensors,
    (tensor) => {
      const group = Plan.isMerged(tensor) ? firsts.get(tensor) : undefined
      if (group !== undefined) return Phase.merge(context, group)
      return Plan.isMerged(tensor) ? Effect.void : Phase.copy(context, tensor)
    },
    { concurrency: TENSORS, discard: true },
  )
})

/** Slots of the shared memory, lent to one chunk each. */
const slotsOf = (pool: Pool.Pool, count: number, bytes: number): Phase.Slots => {
  const permits = Semaphore.makeUnsafe(count)
  const free: Array<number> = []
  return {
    bytes,
    count,
    use: (body) =>
      permits.withPermits(1)(
        Effect.suspend(() => {
          const slot = free.pop() ?? extend(pool.memory, bytes)
          return Effect.ensuring(
            body(slot),
            Effect.sync(() => free.push(slot)),
          )
        }),
      ),
  }
}
