/**
 * One chunk's arithmetic, on whatever thread: f32 blocks from the bytes that were read, through the method, to totals or
 * to the bytes that will be written.
 *
 * This file is imported by worker threads; it imports nothing but files of `engine/`, `kernels/` and `internal/`.
 */
import { at, known } from "@hila/core/Lookup"
import type { SharedMemory } from "../internal/webAssembly.ts"
import type { Arithmetic, FloatDtype } from "../kernels/Wasm.ts"
import * as Arena from "./Arena.ts"
import * as Layout from "./Layout.ts"
import type { AnyMethod, Block, Task } from "./Method.ts"

/** Bytes in the shared memory. */
export interface Bytes {
  readonly at: number
  readonly length: number
}

/** A chunk of one input, as it is in the file. */
export interface Input extends Bytes {
  readonly dtype: FloatDtype
}

/** What to do with one chunk. */
export interface Job {
  readonly task: Task
  readonly state: unknown
  /** The index of a pass, or the last step. */
  readonly phase: number | "combine"
  /** Whether the inputs are seen for the first time and must be checked. */
  readonly check: boolean
  readonly layout: Layout.Layout
  readonly chunk: Layout.Chunk
  readonly base: Input | undefined
  readonly models: ReadonlyArray<Input>
  readonly extras: ReadonlyArray<Input>
  readonly masks: ReadonlyArray<Bytes | undefined>
  /** What the tensor's blocks keep between passes. */
  readonly kept: Bytes | undefined
  /** Where the result goes; values must be below `limit` in magnitude. */
  readonly out: Input & {
    readonly limit: number
    /** Where the result is a bit mask: elements in a row of bits. */
    readonly bits?: number | undefined
  }
}

/** A number that is not finite, or is a statistic below 0, or becomes infinite in the output's dtype. */
export interface Outside {
  readonly _tag: "Outside"
  /** `"base"`, `"result"`, or the index of a model or extra. */
  readonly where: "base" | "result" | { readonly model: number } | { readonly extra: number }
  readonly index: number
  readonly value: number
}

/** What a pass found in a chunk: sums per block, and the counts that are not 0. Empty for `combine`. */
export interface Found {
  readonly _tag: "Found"
  readonly sums: Float64Array // [blocks, sums]
  readonly indices: Uint32Array
  readonly counts: Uint32Array
}

export type Result = Found | Outside

/** What a thread needs for its jobs. */
export interface Thread {
  readonly memory: SharedMemory
  readonly arithmetic: Arithmetic
  readonly arena: Arena.Arena
}

/** Does a job. */
export const run = (thread: Thread, method: AnyMethod, job: Job): Result => {
  const { arena, arithmetic } = thread
  const { chunk, layout, out, state, task } = job
  Arena.reset(arena, 0)
  const pass = job.phase === "combine" ? undefined : at(method.passes(task), job.phase)
  const width = pass?.sums ?? 0
  const sums = new Float64Array(chunk.blocks * width)
  const counts = Arena.words(arena, pass?.counts ?? 0)
  arithmetic.clear(counts)
  if (pass === undefined && summed(thread, method, job)) return nothing
  const carry = method.carry(task, state, chunk)
  const mark = Arena.mark(arena)
  for (let index = 0; index < chunk.blocks; index++) {
    Arena.reset(arena, mark)
    const place = Layout.place(layout, chunk.firstBlock + index)
    const { block, finite } = blockOf(thread, job, place)
    const bad = job.check && !finite ? outsideInput(arithmetic, block) : undefined
    if (bad !== undefined) return bad
    if (pass !== undefined) {
      const into = { sums: sums.subarray(index * width, (index + 1) * width), counts }
      pass.reduce(arithmetic, block, task, state, into, carry)
      continue
    }
    method.combine(arithmetic, block, task, state, carry)
    if (out.bits !== undefined) {
      arithmetic.packNonzero(maskOf(thread, out, out.bits, chunk, place), block.out, out.bits)
      continue
    }
    if (arithmetic.encode(bytesOf(thread, out, chunk, place), block.out, out.dtype)) continue
    const at = arithmetic.firstOutside(block.out, out.limit)
    if (at !== -1)
      return { _tag: "Outside", where: "result", index: place.start + at, value: known(block.out[at]) }
  }
  Arena.reset(arena, mark)
  return { _tag: "Found", sums, ...nonzero(thread, counts) }
}

const widths: Readonly<Record<FloatDtype, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2 }

/** The bytes of a block inside those of its chunk. */
const bytesOf = ({ memory }: Thread, input: Input, chunk: Layout.Chunk, place: Layout.Place): Uint8Array => {
  const width = widths[input.dtype]
  const at = input.at + (place.start - chunk.start) * width
  return new Uint8Array(memory.buffer, at, place.rows * place.columns * width)
}

/** The bits of a block inside those of its chunk. */
const maskOf = (
  { memory }: Thread,
  out: Bytes,
  columns: number,
  chunk: Layout.Chunk,
  place: Layout.Place,
): Uint8Array => {
  const stride = Math.ceil(columns / 8)
  const first = ((place.start - chunk.start) / columns) * stride
  return new Uint8Array(memory.buffer, out.at + first, ((place.rows * place.columns) / columns) * stride)
}

const nothing: Found = {
  _tag: "Found",
  sums: new Float64Array(),
  indices: new Uint32Array(),
  counts: new Uint32Array(),
}

/** Computes a chunk of BF16 as one sum, if the method is one; false where this is not possible or a number is infinite. */
const summed = (thread: Thread, method: AnyMethod, { base, chunk, masks, models, out, state, task }: Job) => {
  const plain = [...models, out, ...(base === undefined ? [] : [base])].every(({ dtype }) => dtype === "BF16")
  if (!plain || chunk.elements % 8 !== 0 || masks.some((mask) => mask !== undefined)) return false
  const sum = task.units === undefined ? method.sum?.(task, state) : undefined
  if (sum === undefined) return false
  const bytes = ({ at, length }: Bytes) => new Uint8Array(thread.memory.buffer, at, length)
  const ends = base === undefined || sum.weights.length === models.length ? models : [base, ...models]
  const inputs = {
    base: base === undefined || sum.lambda === undefined ? undefined : bytes(base),
    inputs: ends.map(bytes),
    weights: sum.weights,
    divisor: sum.divisor,
    lambda: sum.lambda ?? 0,
  }
  return thread.arithmetic.weightedSum(bytes(out), inputs, Arena.floats(thread.arena, 2 * ends.length))
}

const none = new Uint8Array()

/** A block's values, and whether its inputs are known to be finite. */
const blockOf = (thread: Thread, { chunk, layout, ...job }: Job, place: Layout.Place) => {
  const { arena, arithmetic, memory } = thread
  const size = place.rows * place.columns
  const temporary = (length = size) => Arena.floats(arena, length)
  const zeros = () => {
    const values = temporary()
    arithmetic.clear(values)
    return values
  }
  let finite = true
  const decode = (input: Input) => {
    const values = temporary()
    finite = arithmetic.decode(values, bytesOf(thread, input, chunk, place), input.dtype) && finite
    return values
  }
  const mask = (bytes: Bytes | undefined, elements: number) => {
    if (bytes === undefined) return undefined
    // A vector's mask has one byte per element, a matrix's one bit.
    const byte = (index: number) => (bytes.length === elements ? index : Layout.maskByte(layout, index))
    const [first, begin] = [byte(chunk.start), byte(place.start)]
    const end = bytes.length === elements ? begin + size : begin + place.rows * Math.ceil(place.columns / 8)
    return new Uint8Array(memory.buffer, bytes.at + begin - first, end - begin)
  }
  /** Statistics: a share of the loss is not negative. */
  const decodeExtra = (input: Input) => {
    const values = decode(input)
    if (job.check && firstBelow0(values) !== -1) finite = false
    return values
  }
  const block: Block = {
    ...place,
    base: job.base === undefined ? new Float32Array() : decode(job.base),
    models: job.models.map(decode),
    extras: job.extras.map(decodeExtra),
    masks: job.masks.map((bytes) => mask(bytes, chunk.elements)),
    kept: job.kept === undefined ? none : new Uint8Array(memory.buffer, job.kept.at, job.kept.length),
    out: zeros(),
    temporary,
    zeros,
  }
  return { block, finite }
}

const outsideInput = (arithmetic: Arithmetic, block: Block): Outside | undefined => {
  const look = (values: Float32Array, where: Outside["where"]): Outside | undefined => {
    const at = arithmetic.firstOutside(values, Infinity)
    return at === -1
      ? undefined
      : { _tag: "Outside", where, index: block.start + at, value: known(values[at]) }
  }
  let found = look(block.base, "base")
  for (const [model, values] of block.models.entries()) found ??= look(values, { model })
  for (const [extra, values] of block.extras.entries()) {
    found ??= look(values, { extra })
    const at = firstBelow0(values)
    if (at !== -1)
      found ??= { _tag: "Outside", where: { extra }, index: block.start + at, value: known(values[at]) }
  }
  return found
}

/** The first index of a number below 0, or −1. */
const firstBelow0 = (values: Float32Array): number => values.findIndex((value) => value < 0)

/** The counts that are not 0, in memory of their own. */
const nonzero = ({ arena, arithmetic }: Thread, counts: Uint32Array) => {
  const pairs = Arena.words(arena, 2 * counts.length)
  const length = arithmetic.gather(pairs, counts)
  const take = (offset: number) =>
    Uint32Array.from({ length }, (_, index) => known(pairs[2 * index + offset]))
  return { indices: take(0), counts: take(1) }
}
