/**
 * A thread's own part of the shared memory: arrays that live until the block is done.
 *
 * It takes pieces of the memory as it needs them and keeps them, so after the first blocks it asks for nothing more.
 */
import { extend, type SharedMemory } from "../internal/webAssembly.ts"

const LEAST = 4 << 20

interface Segment {
  readonly begin: number
  readonly size: number
}

export interface Arena {
  readonly memory: SharedMemory
  readonly segments: Array<Segment>
  /** Bytes handed out, counted through the segments; what is left over at the end of one counts too. */
  used: number
}

export const make = (memory: SharedMemory): Arena => ({ memory, segments: [], used: 0 })

/** A point to come back to. */
export const mark = (self: Arena): number => self.used

/** Gives back everything that was handed out since the mark. */
export const reset = (self: Arena, to: number): void => {
  self.used = to
}

/** Memory for f32 values, of any content. */
export const floats = (self: Arena, length: number): Float32Array =>
  new Float32Array(self.memory.buffer, take(self, 4 * length), length)

/** Memory for integers, of any content. */
export const words = (self: Arena, length: number): Uint32Array =>
  new Uint32Array(self.memory.buffer, take(self, 4 * length), length)

/** Where `bytes` begin; aligned to 64 bytes, and no array ends where another begins to be read ahead. */
const take = (self: Arena, bytes: number): number => {
  const size = (bytes + 127) & ~63
  let before = 0
  for (const segment of self.segments) {
    const offset = Math.max(self.used - before, 0)
    if (offset + size <= segment.size) {
      self.used = before + offset + size
      return segment.begin + offset
    }
    before += segment.size
  }
  const wanted = Math.ceil(Math.max(size, LEAST) / 65536) * 65536
  const begin = extend(self.memory, wanted)
  self.segments.push({ begin, size: wanted })
  self.used = before + size
  return begin
}
