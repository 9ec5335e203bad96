/**
 * Safetensors files: the header once, the tensors by positional reads, never the whole file.
 *
 * The header is hostile input, see `SafetensorsHeader`. Nothing stays open between calls.
 */
import * as Effect from "effect/Effect"
import { resolve } from "node:path"
import { failure, readFully, withFile } from "../internal/files.ts"
import { SafetensorsError } from "../ModelError.ts"
import * as SafetensorsHeader from "./SafetensorsHeader.ts"

export type { TensorInfo } from "./SafetensorsHeader.ts"

/** A file whose header is checked. */
export interface Safetensors extends SafetensorsHeader.Header {
  /** Absolute path. */
  readonly path: string
}

/** Bytes of a tensor: `length` from `start`, counted from the tensor's first byte. */
export interface Range {
  readonly start: number
  readonly length: number
}

const attempt = <A>(file: string, call: () => Promise<A>) =>
  Effect.tryPromise({ try: call, catch: (cause) => new SafetensorsError({ file, ...failure(cause) }) })

/** Reads and checks the header of a file; no tensor is read. */
export const open = (path: string): Effect.Effect<Safetensors, SafetensorsError> => {
  const file = resolve(path)
  const onFailure = (cause: unknown) => new SafetensorsError({ file, ...failure(cause) })
  return withFile(file, "r", onFailure, (handle) =>
    Effect.gen(function* () {
      const stat = yield* attempt(file, () => handle.stat())
      if (!stat.isFile()) return yield* new SafetensorsError({ file, problem: "is no file", blame: "input" })
      const prefix = yield* attempt(file, () => readFully(handle, 0, 8))
      const length = yield* SafetensorsHeader.parseLength(prefix, file, stat.size)
      const json = yield* attempt(file, () => readFully(handle, 8, length))
      const header = yield* SafetensorsHeader.parse(json, file, stat.size)
      return { path: file, ...header }
    }),
  )
}

/** Reads a tensor's bytes, or a range of them, into new memory; fails if the range leaves the tensor. */
export const read = (
  info: SafetensorsHeader.TensorInfo,
  range: Range = { start: 0, length: info.byteLength },
): Effect.Effect<Uint8Array, SafetensorsError> => {
  const { file, name: tensor } = info
  const { length, start } = range
  const onFailure = (cause: unknown) => new SafetensorsError({ file, tensor, ...failure(cause) })
  if (!(start >= 0 && length >= 0 && start + length <= info.byteLength)) {
    const [expected, got] = [`bytes within [0, ${info.byteLength}]`, `${length} from ${start}`]
    return Effect.fail(
      new SafetensorsError({ file, tensor, problem: "range", expected, got, blame: "system" }),
    )
  }
  return withFile(file, "r", onFailure, (handle) =>
    Effect.flatMap(
      Effect.tryPromise({ try: () => readFully(handle, info.offset + start, length), catch: onFailure }),
      (bytes) =>
        bytes.length === length
          ? Effect.succeed(bytes)
          : Effect.fail(
              new SafetensorsError({
                file,
                tensor,
                problem: "the file has become shorter since its header was read",
                expected: `${length} bytes from ${info.offset + start}`,
                got: `${bytes.length}`,
                blame: "input",
              }),
            ),
    ),
  )
}

/** Bytes compared at once. */
const span = 2 ** 24

/** Whether two tensors have one dtype, one shape and the same bytes; reads no further than the first difference. */
export const sameBytes = Effect.fnUntraced(function* (
  a: SafetensorsHeader.TensorInfo,
  b: SafetensorsHeader.TensorInfo,
): Effect.fn.Return<boolean, SafetensorsError> {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return false
  if (a.file === b.file && a.offset === b.offset) return true
  for (let start = 0; start < a.byteLength; start += span) {
    const range = { start, length: Math.min(span, a.byteLength - start) }
    const [x, y] = [yield* read(a, range), yield* read(b, range)]
    if (Buffer.compare(x, y) !== 0) return false
  }
  return true
})
