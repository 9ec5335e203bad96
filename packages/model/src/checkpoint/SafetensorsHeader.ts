/**
 * The header of a safetensors file, read as hostile input.
 *
 * Layout: 8 bytes little-endian header length, JSON header, data. Every rule of the format is checked before any
 * tensor is read: tensors fill the data exactly, in whole, with no overlap, no gap and no byte left over.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Dtype from "./Dtype.ts"
import { duplicateKey } from "../internal/duplicateKey.ts"
import { SafetensorsError } from "../ModelError.ts"

/** Longest header accepted, in bytes; the limit of the format's reference implementation. */
export const maxLength = 100_000_000

/** Where a tensor lies; `shape` [] is a scalar, a size of 0 is allowed. */
export interface TensorInfo {
  readonly name: string
  readonly dtype: Dtype.Dtype
  readonly shape: ReadonlyArray<number>
  /** Absolute path. */
  readonly file: string
  /** Bytes from the start of the file. */
  readonly offset: number
  readonly byteLength: number
}

/** A checked header; `tensors` in the order of their data. */
export interface Header {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, TensorInfo>
}

type Problem = Omit<ConstructorParameters<typeof SafetensorsError>[0], "file" | "blame">

/** The length of the JSON from the file's first 8 bytes; it must lie within the limit and the file. */
export const parseLength = (
  prefix: Uint8Array,
  file: string,
  fileSize: number,
): Effect.Effect<number, SafetensorsError> => {
  if (prefix.length < 8) {
    return broken(file, {
      problem: "too short for a safetensors file",
      expected: "at least 8 bytes",
      got: `${fileSize}`,
    })
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true)
  if (length > BigInt(maxLength)) {
    const expected = `at most ${maxLength} bytes`
    return broken(file, {
      problem: "header too long",
      expected,
      got: `${length}; is this a safetensors file?`,
    })
  }
  if (8 + Number(length) > fileSize) {
    const expected = `${8 + Number(length)} bytes or more`
    return broken(file, { problem: "header ends outside the file", expected, got: `a file of ${fileSize}` })
  }
  return Effect.succeed(Number(length))
}

/** Checks the JSON of a header against the format and the size of the file it came from. */
export const parse = Effect.fnUntraced(function* (
  json: Uint8Array,
  file: string,
  fileSize: number,
): Effect.fn.Return<Header, SafetensorsError> {
  const entries = yield* parseObject(json, file)
  const metadata = yield* parseMetadata(entries["__metadata__"], file)
  const dataStart = 8 + json.length
  const infos: Array<TensorInfo> = []
  for (const [name, entry] of Object.entries(entries)) {
    if (name === "__metadata__") continue
    infos.push(yield* parseTensor(name, entry, file, dataStart))
  }
  infos.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)
  yield* checkLayout(infos, file, dataStart, fileSize)
  return { metadata, tensors: new Map(infos.map((info) => [info.name, info])) }
})

const broken = (file: string, problem: Problem) =>
  Effect.fail(new SafetensorsError({ file, blame: "input", ...problem }))

const parseObject = Effect.fnUntraced(function* (json: Uint8Array, file: string) {
  // The format wants the object to begin at once; only then may spaces follow it.
  if (json[0] !== 0x7b)
    return yield* broken(file, { problem: "header is no JSON object", expected: "{ as its first byte" })
  const text = yield* Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json),
    catch: () => new SafetensorsError({ file, problem: "header is not valid UTF-8", blame: "input" }),
  })
  const value = yield* Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) =>
      new SafetensorsError({ file, problem: `header is not valid JSON: ${reason(cause)}`, blame: "input" }),
  })
  const repeated = duplicateKey(text)
  if (repeated !== undefined) {
    const [tensor, ...rest] = repeated
    return yield* broken(file, {
      ...(tensor === undefined ? {} : { tensor }),
      problem:
        rest.length === 0
          ? "stands twice in the header"
          : `key ${JSON.stringify(rest.join("."))} stands twice`,
    })
  }
  return value as Record<string, unknown> // it begins with {
})

const reason = (cause: unknown): string =>
  cause instanceof Error ? cause.message.replaceAll(/\s+/g, " ") : String(cause)

const parseMetadata = (
  value: unknown,
  file: string,
): Effect.Effect<Readonly<Record<string, string>>, SafetensorsError> => {
  if (value === undefined) return Effect.succeed({})
  if (!Predicate.isObject(value))
    return broken(file, { problem: "__metadata__ is no object", got: shown(value) })
  const metadata: Record<string, string> = Object.create(null)
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== "string") {
      return broken(file, {
        problem: `__metadata__ ${JSON.stringify(key)}`,
        expected: "a string",
        got: shown(entry),
      })
    }
    metadata[key] = entry
  }
  return Effect.succeed(metadata)
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

const parseTensor = (
  tensor: string,
  entry: unknown,
  file: string,
  dataStart: number,
): Effect.Effect<TensorInfo, SafetensorsError> => {
  const bad = (problem: string, expected: string, got: string) =>
    broken(file, { tensor, problem, expected, got })
  if (!Predicate.isObject(entry)) return bad("header entry", "an object", shown(entry))
  const { data_offsets: offsets, dtype, shape }: { [key: string]: unknown } = { ...entry }
  if (typeof dtype !== "string" || !Dtype.isDtype(dtype))
    return bad("unknown dtype", `one of ${Dtype.all.join(", ")}`, shown(dtype))
  if (!Array.isArray(shape) || !shape.every(isSize))
    return bad("shape", "a list of integers ≥ 0", shown(shape))
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    return bad("data_offsets", "two integers ≥ 0", shown(offsets))
  }
  const [begin, end] = [at(offsets, 0), at(offsets, 1)]
  const count = shape.reduce((product, size) => product * size, 1)
  const length = Dtype.byteLength(dtype, count)
  const what = `${dtype} [${shape.join(", ")}]`
  if (count > Number.MAX_SAFE_INTEGER) return bad("shape", "fewer than 2^53 elements", what)
  if (Number.isNaN(length)) return bad("packed elements", "whole bytes", what)
  if (end - begin !== length)
    return bad("data_offsets", `${length} bytes for ${what}`, `[${begin}, ${end}], ${end - begin} bytes`)
  return Effect.succeed({ name: tensor, dtype, shape, file, offset: dataStart + begin, byteLength: length })
}

/** Tensors, in the order of their data, must follow one another from the first byte of the data to the last. */
const checkLayout = (
  infos: ReadonlyArray<TensorInfo>,
  file: string,
  dataStart: number,
  fileSize: number,
): Effect.Effect<void, SafetensorsError> => {
  let end = dataStart
  let previous = "the header"
  for (const { byteLength, name, offset } of infos) {
    if (offset !== end) {
      const problem =
        offset < end ? `data overlap ${previous}` : `a gap lies between its data and ${previous}`
      const [expected, got] = [`data from byte ${end - dataStart}`, `${offset - dataStart}`]
      return broken(file, { tensor: name, problem, expected, got })
    }
    end = offset + byteLength
    if (end > fileSize) {
      const [expected, got] = [`a file of at least ${end} bytes`, `${fileSize}`]
      return broken(file, {
        tensor: name,
        problem: "data end outside the file, is it truncated?",
        expected,
        got,
      })
    }
    previous = `tensor ${JSON.stringify(name)}`
  }
  return end === fileSize
    ? Effect.void
    : broken(file, {
        problem: `bytes after the end of ${previous}`,
        expected: `a file of ${end} bytes`,
        got: `${fileSize}`,
      })
}

/** A value of the header as it may stand in a line. */
const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "nothing"
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}
