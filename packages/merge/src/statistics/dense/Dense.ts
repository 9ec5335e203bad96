/**
 * Dense matrices in WebAssembly memory: products at the speed of SIMD, for the methods that solve a tensor's equations.
 *
 * This file and its neighbours are imported by worker threads; they import nothing but one another and `internal/`.
 */
import { extend, instantiate, makeMemory } from "../../internal/webAssembly.ts"
import { base64 } from "./wasmBytes.ts"

type Product = (
  c: number,
  ldc: number,
  a: number,
  lda: number,
  b: number,
  ldb: number,
  m: number,
  n: number,
  k: number,
  pack: number,
  edge: number,
) => void

interface Exports {
  readonly multiplyAdd32: Product
  readonly multiplyAdd64: Product
}

/** Row-major numbers with the length of a row in memory; single or double precision. */
export interface Matrix<A extends Float32Array | Float64Array> {
  readonly values: A
  /** Elements from one row to the next. */
  readonly stride: number
}

/** Memory to compute in; arrays live until `reset`. */
export interface Workspace {
  readonly floats: (length: number) => Float32Array
  readonly doubles: (length: number) => Float64Array
  /** Gives back everything that was handed out since `mark()`. */
  readonly mark: () => number
  readonly reset: (mark: number) => void
  /** C[m, n] += A[m, k] B[k, n]; all three lie in this workspace and none overlaps C. */
  readonly multiplyAdd: <A extends Float32Array | Float64Array>(
    c: Matrix<A>,
    a: Matrix<A>,
    b: Matrix<A>,
    size: { readonly m: number; readonly n: number; readonly k: number },
  ) => void
}

/** KC × NC of the kernel, in double precision. */
const PACK = 256 * 520 * 8
const EDGE = 256

/** Bytes that a workspace needs beside its arrays. */
export const overhead = PACK + EDGE + (1 << 20)

/** The thread's last workspace: tensors come one after another, and many are of one size. */
let last: { readonly bytes: number; readonly begin: number; readonly space: Workspace } | undefined

/** A workspace of at least `bytes`, empty; what it gave out before is no longer to be used. */
export const workspace = (bytes: number): Workspace => {
  if (last === undefined || last.bytes < bytes) {
    last = undefined
    const space = make(bytes)
    last = { bytes, begin: space.mark(), space }
  }
  last.space.reset(last.begin)
  return last.space
}

const make = (bytes: number): Workspace => {
  const memory = makeMemory(bytes + overhead)
  const { multiplyAdd32, multiplyAdd64 } = instantiate<Exports>(Buffer.from(base64, "base64"), memory)
  const begin = extend(memory, bytes + overhead - (1 << 18))
  const [edge, pack] = [begin, begin + EDGE]
  let used = pack + PACK
  const take = (size: number) => {
    const at = used
    used = (used + size + 79) & ~63
    if (used > memory.buffer.byteLength) throw new RangeError("the workspace is too small")
    return at
  }
  return {
    floats: (length) => new Float32Array(memory.buffer, take(4 * length), length).fill(0),
    doubles: (length) => new Float64Array(memory.buffer, take(8 * length), length).fill(0),
    mark: () => used,
    reset: (mark) => {
      used = mark
    },
    multiplyAdd: (c, a, b, { k, m, n }) => {
      const product = c.values instanceof Float32Array ? multiplyAdd32 : multiplyAdd64
      const [pc, pa, pb] = [c.values.byteOffset, a.values.byteOffset, b.values.byteOffset]
      product(pc, c.stride, pa, a.stride, pb, b.stride, m, n, k, pack, edge)
    },
  }
}

/** A matrix that begins at an element of another. */
export const from = <A extends Float32Array | Float64Array>(
  { stride, values }: Matrix<A>,
  row: number,
  column: number,
): Matrix<A> => ({ stride, values: tail(values, row * stride + column) })

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a view of an array is an array of its kind
const tail = <A extends Float32Array | Float64Array>(values: A, at: number): A => values.subarray(at) as A
