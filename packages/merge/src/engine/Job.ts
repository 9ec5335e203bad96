/**
 * One chunk's arithmetic, on whatever thread: f32 blocks from the bytes that were read, through the method, to totals or
 * to the bytes that will be written.
 *
 * This file is imported by worker threads; it imports nothing but files of `engine/`, `kernels/` and `internal/`.
 */
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
  /** Where the result goes; values must be below `limit` in magnitude. */
  readonly out: Input & { readonly limit: number }
}

/** A number that is not finite, or becomes infinite in the output's dtype. */
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
  const pass = job.phase === "combine" ? undefined : method.passes(task)[job.phase]!
  const width = pass?.sums ?? 0
  const sums = new Float64Array(chunk.blocks * width)
  const counts = Arena.words(arena, pass?.counts ?? 0)
  arithmetic.clear(counts)
  const carry = method.carry(task, state, chunk)
  const mark = Arena.mark(arena)
  for (let index = 0; index < chunk.blocks; index++) {
    Arena.reset(arena, mark)
    const place = Layout.place(layout, chunk.firstBlock + index)
    const block = blockOf(thread, job, place)
    const bad = job.check ? outsideInput(arithmetic, block) : undefined
    if (bad !== undefined) return bad
    if (pass !== undefined) {
      const into = { sums: sums.subarray(index * width, (index + 1) * width), counts }
      pass.reduce(arithmetic, block, task, state, into, carry)
      continue
    }
    method.combine(arithmetic, block, task, state, carry)
    const at = arithmetic.firstOutside(block.out, out.limit)
    if (at !== -1) return { _tag: "Outside", where: "result", index: place.start + at, value: block.out[at]! }
    arithmetic.encode(bytesOf(thread, out, chunk, place), block.out, out.dtype)
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

const blockOf = (thread: Thread, { chunk, layout, ...job }: Job, place: Layout.Place): Block => {
  const { arena, arithmetic, memory } = thread
  const size = place.rows * place.columns
  const temporary = (length = size) => Arena.floats(arena, length)
  const zeros = () => {
    const values = temporary()
    arithmetic.clear(values)
    return values
  }
  const decode = (input: Input) => {
    const values = temporary()
    arithmetic.decode(values, bytesOf(thread, input, chunk, place), input.dtype)
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
  return {
    ...place,
    base: job.base === undefined ? new Float32Array() : decode(job.base),
    models: job.models.map(decode),
    extras: job.extras.map(decode),
    masks: job.masks.map((bytes) => mask(bytes, chunk.elements)),
    out: zeros(),
    temporary,
    zeros,
  }
}

const outsideInput = (arithmetic: Arithmetic, block: Block): Outside | undefined => {
  const look = (values: Float32Array, where: Outside["where"]): Outside | undefined => {
    const at = arithmetic.firstOutside(values, Infinity)
    return at === -1 ? undefined : { _tag: "Outside", where, index: block.start + at, value: values[at]! }
  }
  let found = look(block.base, "base")
  for (const [model, values] of block.models.entries()) found ??= look(values, { model })
  for (const [extra, values] of block.extras.entries()) found ??= look(values, { extra })
  return found
}

/** The counts that are not 0, in memory of their own. */
const nonzero = ({ arena, arithmetic }: Thread, counts: Uint32Array) => {
  const pairs = Arena.words(arena, 2 * counts.length)
  const length = arithmetic.gather(pairs, counts)
  const take = (offset: number) => Uint32Array.from({ length }, (_, index) => pairs[2 * index + offset]!)
  return { indices: take(0), counts: take(1) }
}
