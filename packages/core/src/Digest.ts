/**
 * Digests: sha256 of bytes, in lower-case hexadecimal. The only name by which the store knows content.
 */
import * as Effect from "effect/Effect"
import { hash } from "node:crypto"
import type { StoreError } from "./CoreError.ts"
import { storeTry } from "./internal/files.ts"

/** Sha256 of bytes or of a text's UTF-8 form, 64 hexadecimal digits. */
export const of = (data: Uint8Array | string): string => hash("sha256", data)

/** Sha256 of a file, read as a stream; a gigabyte costs a chunk of memory. */
export const ofFile = (path: string): Effect.Effect<string, StoreError> =>
  storeTry("hash", path, (disk) => disk.hash(path))

/** The first digits of a digest, for people. */
export const short = (digest: string): string => digest.slice(0, 8)
