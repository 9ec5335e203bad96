/**
 * Writer for the protocol-buffers wire format: the five field kinds that ONNX models use.
 *
 * A message is a list of byte chunks; nested messages are length-prefixed. There is no reader and no schema: the
 * field numbers live with the messages, in `Encode.ts`.
 */

/** The encoded fields of one message, to be concatenated in order. */
export type Message = ReadonlyArray<Uint8Array>

const utf8 = new TextEncoder()

/** Base-128 variable-length integer; negative numbers take ten bytes (two's complement of 64 bits). */
const varint = (value: number): Uint8Array => {
  const bytes: Array<number> = []
  let rest = BigInt.asUintN(64, BigInt(value))
  do {
    const low = Number(rest & 127n)
    rest >>= 7n
    bytes.push(rest === 0n ? low : low | 128)
  } while (rest !== 0n)
  return Uint8Array.from(bytes)
}

const VARINT = 0
const DELIMITED = 2
const FIXED32 = 5
const key = (field: number, wireType: number): Uint8Array => varint(field * 8 + wireType)

/** Joins chunks into one array. */
export const concat = (chunks: Message): Uint8Array => {
  const out = new Uint8Array(chunks.reduce((total, chunk) => total + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    out.set(chunk, at)
    at += chunk.length
  }
  return out
}

/** `field` as a 64-bit integer; `value` is a safe integer. */
export const int = (field: number, value: number): Message => [key(field, VARINT), varint(value)]

/** `field` as a 32-bit float. */
export const float = (field: number, value: number): Message => [
  key(field, FIXED32),
  new Uint8Array(Float32Array.of(value).buffer),
]

/** `field` as raw bytes. */
export const bytes = (field: number, value: Uint8Array): Message => [
  key(field, DELIMITED),
  varint(value.length),
  value,
]

/** `field` as UTF-8 text. */
export const string = (field: number, value: string): Message => bytes(field, utf8.encode(value))

/** `field` as a nested message. */
export const message = (field: number, value: Message): Message => bytes(field, concat(value))
