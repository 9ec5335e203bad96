/** The little of WebAssembly that is used here, typed: the language's own types for it come with a browser's. */

/** Memory that threads share. It neither moves nor grows: a growth reaches other threads too late. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer
}

interface Api {
  readonly Memory: new (limits: { initial: number; maximum: number; shared: true }) => SharedMemory
  readonly Module: new (bytes: Uint8Array) => unknown
  readonly Instance: new (module: unknown, imports: object) => { readonly exports: object }
}

const { Instance, Memory, Module } = (globalThis as unknown as { readonly WebAssembly: Api }).WebAssembly

const PAGE = 65536

/** Memory of at least `bytes`, at most 4 GiB; what is never touched takes no room. */
export const makeMemory = (bytes: number): SharedMemory => {
  const pages = Math.min(Math.ceil(bytes / PAGE) + 1, 65536)
  const memory = new Memory({ initial: pages, maximum: 65536, shared: true })
  new Uint32Array(memory.buffer)[0] = 1 // the first page holds the number of pages in use
  return memory
}

/** Takes at least `bytes` that no other thread has, and gives where they begin; throws where none are left. */
export const extend = (memory: SharedMemory, bytes: number): number => {
  const pages = Math.ceil(bytes / PAGE)
  const first = Atomics.add(new Uint32Array(memory.buffer, 0, 1), 0, pages)
  if ((first + pages) * PAGE <= memory.buffer.byteLength) return first * PAGE
  const size = Math.round(memory.buffer.byteLength / 2 ** 20)
  throw new RangeError(`no ${bytes} bytes are left of ${size} MiB of working memory`)
}

/** The functions a module exports; it runs on `memory`. */
export const instantiate = <Exports>(bytes: Uint8Array, memory: SharedMemory): Exports =>
  new Instance(new Module(bytes), { env: { memory } }).exports as Exports
