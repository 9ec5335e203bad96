/**
 * What a session is of: the bytes of its graph and the files its weights lie in, as they are now.
 *
 * Two models with one digest answer alike, so they share a session. Files are told apart by device, inode, size and
 * time of change, since hashing weights would cost more than a session.
 */
import { createHash } from "node:crypto"
import { statSync } from "node:fs"
import type { EncodedModel } from "../onnx/Encode.ts"

/** The digest of a graph over its weight files, as hexadecimal text. */
export const digest = ({ bytes, weights }: EncodedModel): string => {
  const hash = createHash("sha256").update(bytes)
  for (const { location, path } of weights) {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
    const state = stat === undefined ? [] : [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs]
    hash.update(JSON.stringify([location, path, ...state.map(String)]))
  }
  return hash.digest("hex")
}
