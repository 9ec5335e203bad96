/**
 * The phases of one tensor, or of a group that reduces together: its passes, then the writing of its result.
 */
import { at, known } from "@hila/core/Lookup"
import { type CheckpointError, Dtype, type Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { type EngineError, MergeError } from "../MergeError.ts"
import type * as Disk from "./Disk.ts"
import type * as Job from "./Job.ts"
import * as Layout from "./Layout.ts"
import type { ChunkCounts, Pass, Reduced, Task } from "./Method.ts"
import type * as Output from "./Output.ts"
import type * as Plan from "./Plan.ts"
import type * as Pool from "./Pool.ts"

/** Pieces of the shared memory. */
export interface Slots {
  readonly bytes: number
  readonly count: number
  /** Lends a slot, by where it begins. */
  readonly use: <A, E, R>(body: (at: number) => Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Memory that is lent for as long as a tensor is worked on. */
export interface Kept {
  /** Where `bytes` begin, if so many are free. */
  readonly take: (bytes: number) => number | undefined
  readonly release: (at: number) => void
}

export interface Context {
  /** For errors. */
  readonly method: string
  readonly pool: Pool.Pool
  readonly read: Disk.Read
  readonly write: Output.Write
  readonly slots: Slots
  readonly kept: Kept
  /** The most scalars per chunk, if the user says so. */
  readonly chunk: number | undefined
}

type Failure = MergeError | EngineError | CheckpointError

/** Bytes of a slot: of the inputs and the output of one chunk. */
const SLOT = 16 << 20

/** Every tensor that is read for this one. */
export const inputsOf = ({
  base,
  extras,
  masks,
  models,
}: Plan.TensorPlan): ReadonlyArray<Safetensors.TensorInfo> =>
  [base, ...models, ...(extras ?? []), ...(masks ?? [])].filter((info) => info !== undefined)

/** Bytes per scalar in a slot: all inputs, the output, and a bit or a byte of each mask. */
const scalarBytes = (tensor: Plan.TensorPlan): number => {
  const floats = [tensor.base, ...tensor.models, ...(tensor.extras ?? []), tensor]
  const masks = (tensor.masks ?? []).length
  return floats.reduce((sum, info) => sum + (info === undefined ? 0 : Dtype.bytes(info.dtype)), masks)
}

/** Scalars of a chunk of a tensor. */
const chunkOf = (tensor: Plan.TensorPlan, chunk: number | undefined) =>
  chunk ?? Math.floor(SLOT / scalarBytes(tensor))

/** Bytes of a slot that holds every chunk; more than usual only where a block or the user's chunk is larger. */
export const slotBytes = (tensors: ReadonlyArray<Plan.TensorPlan>, chunk: number | undefined): number => {
  const needs = tensors.map((tensor) => {
    const elements = Layout.elementsOf(tensor.shape)
    const { blockColumns, blockRows } = Layout.of(tensor.shape, tensor.method?.block)
    const scalars = Math.min(elements, Math.max(chunkOf(tensor, chunk), blockRows * blockColumns))
    // Each of the inputs is aligned, and each row of a mask is padded to bytes.
    return scalars * scalarBytes(tensor) + 64 * (inputsOf(tensor).length + 2)
  })
  return Math.max(1 << 16, ...needs)
}

/** About the bytes of a thread's own arrays for a tensor: the block's inputs, its result, and as much again. */
export const arenaBytes = (tensor: Plan.Merged): number => {
  const { blockColumns, blockRows } = Layout.of(tensor.shape, tensor.method.block)
  const passes = tensor.method.passes({
    tensor: tensor.name,
    shape: tensor.shape,
    elements: Layout.elementsOf(tensor.shape),
    hasBase: tensor.base !== undefined,
    models: tensor.models.length,
    params: tensor.params,
  })
  const counts = Math.max(0, ...passes.map((pass) => pass.counts ?? 0))
  return 4 * counts + 8 * blockRows * blockColumns * (inputsOf(tensor).length + 2)
}

/** Bytes that the blocks of a group keep. */
export const keptBytes = ({ tasks, tensors: [{ method }] }: Plan.Group): number =>
  tasks.reduce((sum, task) => sum + (method.keptBytes?.(task) ?? 0), 0)

/**
 * About the bytes of what the chunks of a pass counted, which is held until the pass ends: an index and a number for each
 * counter that is not 0. A chunk has at most as many of these as elements; of the values of weights, which spread over
 * many bins, a bin of the first pass holds one in 64 at most, and no more are counted in the second.
 */
export const countsBytes = ({ tasks, tensors }: Plan.Group, chunk: number | undefined): number => {
  const [{ method }] = tensors
  const counts = method.passes(at(tasks, 0)).map((pass) => pass.counts ?? 0)
  return tensors.reduce((sum, tensor) => {
    const most = chunkOf(tensor, chunk)
    const chunks = Math.ceil(Layout.elementsOf(tensor.shape) / most)
    const streams = Math.max(tensor.models.length, 1)
    const nonzero = counts.map((count) => Math.min(count, (most * streams) / 64))
    return sum + 8 * chunks * Math.max(0, ...nonzero)
  }, 0)
}

/** Runs the passes of a group, then writes its tensors. */
export const merge = (context: Context, group: Plan.Group): Effect.Effect<void, Failure> =>
  Effect.suspend(() => {
    const bytes = keptBytes(group)
    const at = bytes === 0 ? undefined : context.kept.take(bytes)
    if (at === undefined) return phases(context, group, undefined)
    return Effect.ensuring(
      phases(context, group, at),
      Effect.sync(() => context.kept.release(at)),
    )
  })

const phases = Effect.fnUntraced(function* (
  context: Context,
  { tasks, tensors }: Plan.Group,
  kept: number | undefined,
): Effect.fn.Return<void, Failure> {
  const [{ method }] = tensors
  const task = at(tasks, 0)
  let state = method.start(task)
  const passes = method.passes(task)
  const members = membersOf(tensors, tasks, kept)
  for (const [index, pass] of passes.entries()) {
    const totals = totalsOf(pass)
    const found = yield* chunksOf(context, members, { phase: index, state, check: index === 0 })
    for (const chunk of found) totals.add(chunk)
    state = pass.close(task, totals.reduced, state)
  }
  yield* chunksOf(context, members, { phase: "combine", state, check: passes.length === 0 })
})

/** A tensor of a group, and where its blocks keep what they keep. */
interface Member {
  readonly tensor: Plan.Merged
  readonly task: Task
  readonly kept: Job.Bytes | undefined
}

const membersOf = (
  tensors: Plan.Group["tensors"],
  tasks: Plan.Group["tasks"],
  kept: number | undefined,
): ReadonlyArray<Member> => {
  let at = kept ?? 0
  return tensors.map((tensor, index) => {
    const task = known(tasks[index])
    const length = tensor.method.keptBytes?.(task) ?? 0
    const bytes = kept === undefined || length === 0 ? undefined : { at, length }
    at += length
    return { tensor, task, kept: bytes }
  })
}

interface FoundChunk {
  readonly tensor: string
  readonly start: number
  readonly found: Job.Found
}

/** Does one phase for every chunk of the tensors, in order of their beginning; gives what was found, in order. */
const chunksOf = (
  context: Context,
  members: ReadonlyArray<Member>,
  phase: Pick<Job.Job, "phase" | "state" | "check">,
): Effect.Effect<ReadonlyArray<FoundChunk>, Failure> => {
  const chunks = members.flatMap(({ kept, task, tensor }) => {
    const layout = Layout.of(tensor.shape, tensor.method.block)
    const most = chunkOf(tensor, context.chunk)
    return Layout.chunks(layout, most).map((chunk) => ({ tensor, task, kept, layout, chunk }))
  })
  return Effect.forEach(
    chunks,
    ({ chunk, kept, layout, task, tensor }) =>
      Effect.map(
        context.slots.use((at) => work(context, tensor, { ...phase, task, kept, layout, chunk }, at)),
        (found): FoundChunk => ({ tensor: tensor.name, start: chunk.start, found }),
      ),
    { concurrency: context.slots.count },
  )
}

/** The bytes of a chunk in the output: of values, or of bits in rows of whole bytes, a byte per element of a vector. */
const writtenOf = ({ bits, dtype, shape }: Plan.Merged, layout: Layout.Layout, chunk: Layout.Chunk) => {
  const [start, end] = [chunk.start, chunk.start + chunk.elements]
  if (bits !== true) return { start: start * Dtype.bytes(dtype), end: end * Dtype.bytes(dtype) }
  if (shape.length < 2) return { start, end }
  return { start: Layout.maskByte(layout, start), end: Layout.maskByte(layout, end) }
}

/** Reads a chunk into a slot, has it computed, and writes its result. */
const work = Effect.fnUntraced(function* (
  { method, pool, read, write }: Context,
  tensor: Plan.Merged,
  part: Pick<Job.Job, "phase" | "state" | "check" | "task" | "kept" | "layout" | "chunk">,
  slot: number,
): Effect.fn.Return<Job.Found, Failure> {
  const { chunk, layout } = part
  const reads: Array<Effect.Effect<void, CheckpointError>> = []
  let end = slot
  const place = (length: number): Job.Bytes => {
    const at = end
    end = (at + length + 63) & ~63
    return { at, length }
  }
  const view = ({ at, length }: Job.Bytes) => new Uint8Array(pool.memory.buffer, at, length)
  const load = (info: Safetensors.TensorInfo, first: number, last: number) => {
    const bytes = place(last - first)
    reads.push(read(info, first, view(bytes)))
    return bytes
  }
  const floats = (info: Safetensors.TensorInfo): Job.Input => {
    const dtype = Dtype.isFloat(info.dtype) ? info.dtype : tensor.dtype
    const width = Dtype.bytes(dtype)
    return { dtype, ...load(info, chunk.start * width, (chunk.start + chunk.elements) * width) }
  }
  const mask = (info: Safetensors.TensorInfo | undefined) => {
    if (info === undefined) return undefined
    const last = chunk.start + chunk.elements
    if (tensor.shape.length < 2) return load(info, chunk.start, last)
    const all = layout.rows * layout.columns
    const byte = (index: number) => (index === all ? info.byteLength : Layout.maskByte(layout, index))
    return load(info, byte(chunk.start), byte(last))
  }
  const { base, extras = [], masks = [], models } = tensor
  const inputs = {
    base: base === undefined ? undefined : floats(base),
    models: models.map(floats),
    extras: extras.map(floats),
    masks: masks.map(mask),
  }
  const written = writtenOf(tensor, layout, chunk)
  const out = {
    dtype: tensor.dtype,
    limit: overflow[tensor.dtype],
    bits: tensor.bits === true ? (tensor.shape.length < 2 ? 1 : layout.columns) : undefined,
    ...place(written.end - written.start),
  }
  yield* Effect.all(reads, { concurrency: "unbounded", discard: true })
  const result = yield* pool.run(tensor.method, { ...part, ...inputs, out })
  if (result._tag === "Outside") return yield* refuse(method, tensor, result)
  if (part.phase === "combine") yield* write(tensor.name, written.start, view(out))
  return result
})

/** Copies the bytes of the first model. */
export const copy = ({ read, slots, write, pool }: Context, { models: [info], name }: Plan.TensorPlan) => {
  if (info === undefined) return Effect.void
  const count = Math.ceil(info.byteLength / slots.bytes)
  const starts = Array.from({ length: count }, (_, index) => index * slots.bytes)
  return Effect.forEach(
    starts,
    (start) =>
      slots.use((at) => {
        const length = Math.min(slots.bytes, info.byteLength - start)
        const bytes = new Uint8Array(pool.memory.buffer, at, length)
        return Effect.andThen(read(info, start, bytes), write(name, start, bytes))
      }),
    { concurrency: slots.count, discard: true },
  )
}

/** Adds up what the chunks of a pass found, in the order of the chunks. */
const totalsOf = (pass: Pass<unknown, unknown, unknown>) => {
  const width = pass.sums ?? 0
  const sums = new Float64Array(width)
  const counts = new Float64Array(pass.counts ?? 0)
  const chunks: Array<ChunkCounts> = []
  const reduced: Reduced = { sums, counts, chunks }
  const add = ({ found, start, tensor }: FoundChunk) => {
    for (let i = 0; i < found.sums.length; i++)
      sums[i % width] = known(sums[i % width]) + known(found.sums[i])
    for (const [at, index] of found.indices.entries())
      counts[index] = known(counts[index]) + known(found.counts[at])
    if (pass.countsByChunk === true) {
      chunks.push({ tensor, start, indices: found.indices, counts: found.counts })
    }
  }
  return { reduced, add }
}

/** The least magnitude that rounds to infinity. */
const overflow: Readonly<Record<Dtype.FloatDtype, number>> = {
  F64: Infinity,
  F32: Infinity,
  BF16: (2 - 2 ** -8) * 2 ** 127,
  F16: 65520,
}

const refuse = (method: string, tensor: Plan.Merged, { index, value, where }: Job.Outside) => {
  const { base, dtype, extras, models, name } = tensor
  if (where === "result") {
    const problem = `the result ${value} at element ${index} is no finite ${dtype} number: a coefficient is too large`
    return Effect.fail(new MergeError({ method, input: "coefficients", tensor: name, problem }))
  }
  const [input, info] =
    where === "base"
      ? ["base", base]
      : "model" in where
        ? [`model ${where.model + 1}`, models[where.model]]
        : [`statistics ${where.extra + 1}`, extras?.[where.extra]]
  const wanted =
    typeof where === "object" && "extra" in where
      ? "statistics must be finite and not below 0"
      : "weights must be finite"
  const problem = `element ${index} is ${value}; ${wanted} (${info?.file ?? "unknown file"})`
  return Effect.fail(new MergeError({ method, input, tensor: name, problem }))
}
