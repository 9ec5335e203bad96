/**
 * Parquet as the Hub's data sets have it: the compression of its pages beside Snappy, by Node's own zlib.
 *
 * For readers of rows, in the shape that hyparquet takes. Rows themselves are read where they are used.
 */
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib"

/** A page's bytes from its compressed ones; `length` is what the file says it has, and the most it may. */
type Decompress = (bytes: Uint8Array, length: number) => Uint8Array

/** Functions by the format's names of compressions. */
export const compressors: Readonly<Record<"GZIP" | "ZSTD" | "BROTLI", Decompress>> = {
  GZIP: (bytes, length) => gunzipSync(bytes, { maxOutputLength: Math.max(1, length) }),
  ZSTD: (bytes, length) => zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, length) }),
  BROTLI: (bytes, length) => brotliDecompressSync(bytes, { maxOutputLength: Math.max(1, length) }),
}
