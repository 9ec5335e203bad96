/**
 * The dtypes of the safetensors format, and conversion of its floating-point ones to and from float32.
 *
 * Bytes are little-endian, in files and in memory. Quantized formats (8 bits and fewer) are known by width, so that
 * their tensors are read, copied and written, but they are not converted: their scales lie in other tensors.
 */
import { known } from "@hila/core/Lookup"

/** Bits per element; formats narrower than a byte are packed. */
const widths = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const

/** A dtype of the safetensors format. */
export type Dtype = keyof typeof widths

/** The dtypes with a conversion to and from float32. */
export type FloatDtype = "F64" | "F32" | "F16" | "BF16"

/** Every dtype of the format. */
export const all: ReadonlyArray<Dtype> = Object.keys(widths).filter((name): name is Dtype => name in widths)

/** Whether a name is a dtype of the format. */
export const isDtype = (name: string): name is Dtype => Object.hasOwn(widths, name)

/** Whether a dtype converts to and from float32. */
export const isFloat = (dtype: Dtype): dtype is FloatDtype =>
  dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16"

/** Bits per element. */
export const bits = (dtype: Dtype): number => widths[dtype]

/** Bytes per element; a fraction for the packed formats F4 (0.5) and F6 (0.75). */
export const bytes = (dtype: Dtype): number => widths[dtype] / 8

/** Bytes of `count` elements; NaN unless they fill whole bytes. */
export const byteLength = (dtype: Dtype, count: number): number => {
  const length = count * bytes(dtype)
  return Number.isInteger(length) ? length : Number.NaN
}

/** The values of `bytes` as float32 in new memory; exact but for F64, which is rounded to nearest even. */
export const toFloat32 = (bytes: Uint8Array, dtype: FloatDtype): Float32Array => {
  const out = new Float32Array((bytes.length / widths[dtype]) * 8)
  decode(bytes.slice(), dtype, out) // typed arrays need aligned memory; a view into a file's bytes is not always
  return out
}

/** As `toFloat32`, into memory that is there; `bytes` start at a multiple of the width in their buffer and fill `out`. */
export const decode = (bytes: Uint8Array, dtype: FloatDtype, out: Float32Array): void => {
  const { buffer, byteOffset } = bytes
  const bits = () => new Uint32Array(out.buffer, out.byteOffset, out.length)
  switch (dtype) {
    case "F32":
      return out.set(new Float32Array(buffer, byteOffset, out.length))
    case "F64":
      return out.set(new Float64Array(buffer, byteOffset, out.length))
    case "BF16":
      return decodeBfloats(new Uint16Array(buffer, byteOffset, out.length), bits())
    case "F16":
      return decodeHalves(new Uint16Array(buffer, byteOffset, out.length), bits(), out)
  }
}

const decodeBfloats = (source: Uint16Array, bits: Uint32Array): void => {
  for (let i = 0; i < bits.length; i++) bits[i] = known(source[i]) << 16
}

const decodeHalves = (source: Uint16Array, bits: Uint32Array, floats: Float32Array): void => {
  for (let i = 0; i < floats.length; i++) decodeHalf(known(source[i]), i, bits, floats)
}

/** Float32 values as the bytes of another dtype, rounded once to nearest even; NaN stays NaN, overflow is infinite. */
export const fromFloat32 = (values: Float32Array, dtype: FloatDtype): Uint8Array => {
  switch (dtype) {
    case "F32":
      return new Uint8Array(values.slice().buffer)
    case "F64":
      return new Uint8Array(Float64Array.from(values).buffer)
    case "BF16":
      return encodeWith(values, bfloatOf)
    case "F16":
      return encodeWith(values, halfOf)
  }
}

const encodeWith = (values: Float32Array, encode: (bits: number) => number): Uint8Array => {
  const source = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const out = new Uint16Array(values.length)
  for (let i = 0; i < out.length; i++) out[i] = encode(known(source[i]))
  return new Uint8Array(out.buffer)
}

/** Writes IEEE 754 binary16 `half` as float32 to position `i` of memory seen as bits and as floats. */
const decodeHalf = (half: number, i: number, out: Uint32Array, floats: Float32Array): void => {
  const sign = (half & 0x8000) << 16
  const exponent = (half >>> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0) {
    const magnitude = fraction * 2 ** -24
    floats[i] = sign === 0 ? magnitude : -magnitude
  } else if (exponent === 31) {
    out[i] = sign | 0x7f800000 | (fraction << 13)
  } else {
    out[i] = sign | ((exponent + 112) << 23) | (fraction << 13)
  }
}

/** Float32 bits → bfloat16 bits: the upper half, rounded by the lower one. */
const bfloatOf = (bits: number): number =>
  (bits & 0x7fffffff) > 0x7f800000
    ? (bits >>> 16) | 0x40 // the quiet bit, lest a NaN whose payload is cut off becomes infinite
    : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16

/** Float32 bits → binary16 bits. */
const halfOf = (bits: number): number => {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff)
  if (magnitude >= 0x477ff000) return sign | 0x7c00 // 65520 and above round to infinity
  if (magnitude >= 0x38800000) {
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
  }
  if (magnitude < 0x33000000) return sign // below 2^-25
  // Subnormal: the significand in units of 2^-24, its dropped bits rounded to nearest even.
  const significand = (magnitude & 0x7fffff) | 0x800000
  const shift = 126 - (magnitude >>> 23)
  const kept = significand >>> shift
  const dropped = significand & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return sign | (kept + (dropped > half || (dropped === half && (kept & 1) === 1) ? 1 : 0))
}
