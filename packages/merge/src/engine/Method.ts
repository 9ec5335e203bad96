/**
 * What a merge method is to the engine: arithmetic on blocks of one tensor, and the streaming passes it needs before.
 *
 * A method file is imported by worker threads, so it imports nothing at run time but files of `engine/` and `kernels/`
 * that say the same of themselves (no effect, no `@hila/*`); parameters reach it as plain data, already resolved for
 * the tensor and checked. It must depend on nothing else: the same task gives the same bytes with any number of threads
 * and any size of chunk.
 *
 * For each tensor (or group of tensors) the engine calls `start`, then for each pass `reduce` on every block and
 * `close` once, and then `combine` on every block. A *block* is a fixed run of elements, a *chunk* the run of blocks
 * that is read at once. `close` and `start` run on one thread, `reduce` and `combine` on any; what they share is the
 * state, which is copied between threads, and what blocks keep of themselves for a later look (`Block.kept`).
 */
import type { Kernels } from "../kernels/Kernels.ts"

/** A tensor of the output as its method sees it. */
export interface Task<P = unknown> {
  /** The output's name; random numbers are keyed by it. */
  readonly tensor: string
  readonly shape: ReadonlyArray<number>
  /** Scalars over which the passes reduce: of the tensor, or with `group` of all tensors of the group. */
  readonly elements: number
  readonly hasBase: boolean
  readonly models: number
  /** Plain data; numbers that the recipe gives per model are arrays in the order of the models. */
  readonly params: P
  /** Coefficients of the task vectors by runs of rows or columns; where runs meet they multiply. See `TaskVector`. */
  readonly units?: ReadonlyArray<UnitSpan>
}

/** Rows (axis 0) or columns (axis 1) `[start, end)` with a coefficient for each model; of a vector, elements. */
export interface UnitSpan {
  readonly axis: 0 | 1
  readonly start: number
  readonly end: number
  readonly weights: ReadonlyArray<number>
}

/**
 * A fixed run of elements of the tensor. A tensor is rows × columns: the last dimension is the columns, a vector is ONE
 * row. Blocks are whole rows, about 2^14 elements; where `Method.block` is `"elements"` a row of more than 2^16 elements
 * is cut, and `"tensor"` gives the whole tensor at once.
 */
export interface Block {
  /** Index of the first element in the flat tensor. */
  readonly start: number
  readonly firstRow: number
  readonly firstColumn: number
  readonly rows: number
  readonly columns: number
  /** Empty without a base. */
  readonly base: Float32Array // [rows, columns]
  /** The models, which may be overwritten. */
  readonly models: ReadonlyArray<Float32Array> // [rows, columns] each
  /** Further tensors of the same shape that the task names (statistics). */
  readonly extras: ReadonlyArray<Float32Array> // [rows, columns] each
  /** A bit mask per model, where the task has one; one byte per element for a vector. See `TaskVector`. */
  readonly masks: ReadonlyArray<Uint8Array | undefined> // [rows, ceil(columns / 8)] each
  /**
   * The tensor's `keptBytes`, of any content at first: each block may write to its own part, and finds it there in the
   * next pass. Empty where memory was short, so a method has to do without.
   */
  readonly kept: Uint8Array
  /** Where `combine` writes its result; all zero at first. */
  readonly out: Float32Array // [rows, columns]
  /** Memory for `length` f32 values of any content (default: the block's size), until the block is done. */
  readonly temporary: (length?: number) => Float32Array
  /** Memory for values of the block's size, all zero. */
  readonly zeros: () => Float32Array
}

/** What the blocks of a pass add to. */
export interface Totals {
  /** One set per block, added in the order of the blocks: the result does not depend on threads. */
  readonly sums: Float64Array
  /** One set per chunk, added up exactly. */
  readonly counts: Uint32Array
}

/** What a pass comes to. */
export interface Reduced {
  readonly sums: Float64Array
  readonly counts: Float64Array
  /** With `countsByChunk`: what was counted before each chunk, sparse. */
  readonly chunks: ReadonlyArray<ChunkCounts>
}

/** The counts of one chunk, by index, without the zeros. */
export interface ChunkCounts {
  readonly tensor: string
  /** Index of the chunk's first element in its tensor. */
  readonly start: number
  readonly indices: Uint32Array
  readonly counts: Uint32Array
}

/** One streaming pass over all elements of a tensor (or group). */
export interface Pass<P, S, C> {
  /** How many f64 sums; 0 by default. */
  readonly sums?: number
  /** How many integer counters; 0 by default. */
  readonly counts?: number
  /** Keep what each chunk counted. */
  readonly countsByChunk?: boolean
  readonly reduce: (kernels: Kernels, block: Block, task: Task<P>, state: S, into: Totals, carry: C) => void
  readonly close: (task: Task<P>, totals: Reduced, state: S) => S
}

/**
 * A result that is a weighted sum and nothing else: `Σ w x / divisor` over the models (after the base, where there is
 * one), or with `lambda`, of task vectors onto the base: `base + lambda · Σ w δ / divisor`.
 */
export interface WeightedSum {
  readonly weights: ReadonlyArray<number>
  readonly divisor: number
  readonly lambda?: number
}

/** A merge method over parameters `P`, state `S` between passes and `C` carried from block to block of a chunk. */
export interface Method<P, S = undefined, C = undefined> {
  readonly name: string
  /** `import.meta.url` of the file, which exports this value as `method`. */
  readonly module: string
  /** What a block is; `"elements"` by default. */
  readonly block?: "elements" | "rows" | "tensor"
  /** Tensors with the same group reduce together (a global top-k); undefined: each for itself. */
  readonly group?: (params: P) => string | undefined
  /** Bytes that the blocks of a task keep from one pass to the next; see `Block.kept`. */
  readonly keptBytes?: (task: Task<P>) => number
  readonly start: (task: Task<P>) => S
  readonly passes: (task: Task<P>) => ReadonlyArray<Pass<P, S, C>>
  /** What is carried through the blocks of one chunk, in order: made anew where a chunk begins, in every pass. */
  readonly carry: (task: Task<P>, state: S, chunk: { readonly start: number }) => C
  readonly combine: (kernels: Kernels, block: Block, task: Task<P>, state: S, carry: C) => void
  /** What `combine` comes to, bit by bit, where it is a sum: it is then computed in one sweep where the dtypes allow. */
  readonly sum?: (task: Task<P>, state: S) => WeightedSum
}

/** A method whose types only it knows. */
export type AnyMethod = Method<unknown, unknown, unknown>

/** A method without passes: element by element. */
export const elementwise = <P>(
  options: Pick<Method<P>, "name" | "module" | "combine"> & Partial<Pick<Method<P>, "block" | "sum">>,
): Method<P> => ({ ...options, start: () => undefined, passes: () => [], carry: () => undefined })
