/**
 * Weights a worker holds as f32, to be fed to graphs that take their weights as inputs.
 *
 * A slab is one piece of memory that is filled again and again with the weights of one block after another, so that a
 * model larger than memory passes through it without leaving garbage behind. Runs in the worker.
 */
import { entry } from "@hila/core/Lookup"
import { closeSync, openSync, readSync } from "node:fs"
import * as Dtype from "../checkpoint/Dtype.ts"
import type { FedWeight } from "./Protocol.ts"

/** A weight in memory. */
export interface Loaded {
  readonly input: string
  readonly dims: ReadonlyArray<number>
  readonly data: Float32Array<ArrayBuffer>
}

const slabs = new Map<number, { readonly memory: ArrayBuffer; weights: ReadonlyArray<Loaded> }>()

/** Bytes on their way from a file; a multiple of every element's width. */
const staging = new Uint8Array(2 ** 20)

/** What a slab holds. */
export const weights = (slab: number): ReadonlyArray<Loaded> => entry(slabs, slab).weights

/** Fills a slab, whose memory is made with the first load; returns what went wrong, if anything did. */
export const load = (
  slab: number,
  capacity: number,
  wanted: ReadonlyArray<FedWeight>,
): string | undefined => {
  const held = slabs.get(slab)
  const memory = held === undefined ? new ArrayBuffer(capacity) : held.memory
  // Whoever fails on the way leaves an empty slab, not half of one model and half of another.
  slabs.set(slab, { memory, weights: [] })
  const loaded: Array<Loaded> = []
  const files = new Map<string, number>()
  let at = 0
  try {
    for (const { byteLength, dims, dtype, file, input, offset } of wanted) {
      const size = dims.reduce((product, dim) => product * dim, 1)
      const data = new Float32Array(memory, at, size)
      at += data.byteLength
      const handle = files.get(file) ?? openSync(file, "r")
      files.set(file, handle)
      if (!read(handle, dtype, offset, byteLength, data)) {
        return `${file} has become shorter since its header was read`
      }
      loaded.push({ input, dims, data })
    }
  } finally {
    for (const handle of files.values()) closeSync(handle)
  }
  slabs.set(slab, { memory, weights: loaded })
  return undefined
}

/** Decodes a file's bytes into `out`; false where the file ends before them. */
const read = (
  handle: number,
  dtype: Dtype.FloatDtype,
  offset: number,
  byteLength: number,
  out: Float32Array,
): boolean => {
  const width = Dtype.bytes(dtype)
  for (let done = 0; done < byteLength;) {
    const length = Math.min(staging.length, byteLength - done)
    for (let filled = 0; filled < length;) {
      const count = readSync(handle, staging, filled, length - filled, offset + done + filled)
      if (count === 0) return false
      filled += count
    }
    Dtype.decode(staging.subarray(0, length), dtype, out.subarray(done / width, (done + length) / width))
    done += length
  }
  return true
}
