/**
 * Writes safetensors files as a stream: the header first, then each tensor's bytes as they come.
 *
 * The file appears under its name complete or not at all: a temporary sibling is written, synced and renamed. The
 * format has no padding between tensors, so data are laid out by falling element width (stable in the given order),
 * which aligns every tensor to its element; with one dtype that is the given order. The header keeps the given order.
 */
import { entry } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { randomUUID } from "node:crypto"
import { type FileHandle, rename, rm } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import * as Dtype from "./Dtype.ts"
import { failure, syncDirectory, withFile, writeFully } from "../internal/files.ts"
import { SafetensorsError } from "../ModelError.ts"
import type { TensorInfo } from "./SafetensorsHeader.ts"

/** A tensor to be written. */
export interface TensorSpec {
  readonly name: string
  readonly dtype: Dtype.Dtype
  readonly shape: ReadonlyArray<number>
}

/** Takes the next bytes of a tensor; chunks may be of any size and are not kept. */
export type Write = (chunk: Uint8Array) => Effect.Effect<void, SafetensorsError>

/** The bytes of tensors: called once per tensor, one after another, in the order of the data in the file. */
export type Data<E, R> = (info: TensorInfo, write: Write) => Effect.Effect<void, E, R>

export interface Options<E, R> {
  /** The header's `__metadata__`; absent when there is none. */
  readonly metadata?: Readonly<Record<string, string>>
  readonly tensors: ReadonlyArray<TensorSpec>
  readonly data: Data<E, R>
}

/** Writes a file; fails, and leaves nothing behind, if `data` gives a tensor more or fewer bytes than its shape. */
export const write = Effect.fnUntraced(function* <E, R>(
  path: string,
  options: Options<E, R>,
): Effect.fn.Return<void, E | SafetensorsError, R> {
  const file = resolve(path)
  const { header, infos } = yield* layout(file, options)
  const temporary = `${file}.${randomUUID()}.tmp`
  const onFailure = (cause: unknown) => new SafetensorsError({ file, ...failure(cause) })
  const attempt = <A>(call: () => Promise<A>) => Effect.tryPromise({ try: call, catch: onFailure })
  yield* withFile(temporary, "wx", onFailure, (handle) =>
    Effect.gen(function* () {
      yield* attempt(() => writeFully(handle, header))
      for (const info of infos) yield* writeTensor(handle, info, options.data)
      yield* attempt(() => handle.sync())
    }),
  ).pipe(
    Effect.andThen(attempt(() => rename(temporary, file))),
    Effect.andThen(attempt(() => syncDirectory(dirname(file)))),
    Effect.onExit((exit) =>
      Exit.isSuccess(exit)
        ? Effect.void
        : Effect.ignore(Effect.tryPromise(() => rm(temporary, { force: true }))),
    ),
  )
})

/** The bytes a file begins with, its length and header, and where each tensor lies, in the order of the data. */
export const layout = Effect.fnUntraced(function* (
  file: string,
  { metadata, tensors }: Pick<Options<never, never>, "metadata" | "tensors">,
) {
  const refuse = (tensor: string, problem: string) =>
    new SafetensorsError({ file, tensor, problem, blame: "system" })
  const places = new Map<string, { readonly begin: number; readonly end: number }>()
  let end = 0
  for (const { dtype, name, shape } of tensors.toSorted(
    (a, b) => Dtype.bits(b.dtype) - Dtype.bits(a.dtype),
  )) {
    if (places.has(name) || name === "__metadata__") return yield* refuse(name, "name is taken")
    const length = Dtype.byteLength(
      dtype,
      shape.reduce((product, size) => product * size, 1),
    )
    if (!Number.isSafeInteger(length) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
      return yield* refuse(name, `no such shape: ${dtype} [${shape.join(", ")}]`)
    }
    places.set(name, { begin: end, end: end + length })
    end += length
  }
  // Written by hand: an object literal would reorder names that look like numbers.
  const entries = tensors.map(({ dtype, name, shape }) => {
    const { begin, end } = entry(places, name)
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`
  })
  if (metadata !== undefined) entries.unshift(`"__metadata__":${JSON.stringify(metadata)}`)
  const json = new TextEncoder().encode(`{${entries.join(",")}}`)
  const padded = Math.ceil(json.length / 8) * 8
  const header = new Uint8Array(8 + padded).fill(0x20)
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true)
  header.set(json, 8)
  const infos = tensors
    .map((spec): TensorInfo => {
      const { begin, end } = entry(places, spec.name)
      return { ...spec, file, offset: header.length + begin, byteLength: end - begin }
    })
    .toSorted((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)
  return { header, infos }
})

const writeTensor = Effect.fnUntraced(function* <E, R>(
  handle: FileHandle,
  info: TensorInfo,
  data: Data<E, R>,
) {
  const { byteLength, file, name: tensor } = info
  let written = 0
  const wrong = () =>
    new SafetensorsError({
      file,
      tensor,
      problem: "wrong number of bytes written",
      expected: `${byteLength}`,
      got: `${written}`,
      blame: "system",
    })
  yield* data(info, (chunk) =>
    Effect.suspend(() => {
      written += chunk.length
      return written > byteLength
        ? Effect.fail(wrong())
        : Effect.tryPromise({
            try: () => writeFully(handle, chunk),
            catch: (cause) => new SafetensorsError({ file, tensor, ...failure(cause) }),
          })
    }),
  )
  if (written !== byteLength) return yield* wrong()
})
