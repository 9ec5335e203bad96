/** Digests of weight files, for the provenance card. */
import { type Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { realpath } from "node:fs/promises"
import { basename } from "node:path"

/** sha256 of every weight file of a checkpoint, by the file's name. */
export const ofWeights = Effect.fnUntraced(function* ({ files, tensors }: Checkpoint.Checkpoint) {
  const used = new Set([...tensors.values()].map(({ file }) => file))
  const named = Object.entries(files).filter(([, path]) => used.has(path))
  const digests = yield* Effect.forEach(named, ([name, path]) =>
    Effect.map(ofFile(path), (digest) => [name, digest] as const),
  )
  return Object.fromEntries(digests)
})

/** sha256 of a file. In the Hub's cache a large file is a link to one that is named by its digest: nothing is read. */
export const ofFile = (path: string) =>
  Effect.tryPromise({
    try: async () => {
      const name = basename(await realpath(path))
      if (/^[0-9a-f]{64}$/.test(name)) return name
      const hash = createHash("sha256")
      for await (const chunk of createReadStream(path, { highWaterMark: 1 << 22 })) {
        if (chunk instanceof Uint8Array) hash.update(chunk)
      }
      return hash.digest("hex")
    },
    catch: (cause) =>
      new CheckpointError({
        path,
        problem: cause instanceof Error ? cause.message : String(cause),
        blame: "system",
      }),
  })
