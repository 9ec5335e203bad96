/** What a card says of the models that went into a merge. */
import { Hub } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as Adapter from "../adapters/Adapter.ts"
import type { Options } from "../Options.ts"
import type { Prepared } from "../plan/Prepared.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Digest from "./Digest.ts"

/** The inputs of a merge, with the sha256 of their weight files unless they are not asked for. */
export const of = Effect.fnUntraced(function* (
  { models, sliced }: Prepared,
  { digests = true, onProgress }: Options,
) {
  const base = sliced.base === undefined ? undefined : Reference.text(sliced.base)
  return yield* Effect.forEach([...models], ([model, { adapter, directory, hub, original }], index) =>
    Effect.gen(function* () {
      if (digests) onProgress?.("hashing", index / models.size)
      const role = model === base ? "base" : "model"
      const repo = hub?.repo ?? (directory === undefined ? undefined : Hub.repoOf(directory))
      const input = { role, model, repo, isDirectory: directory !== undefined }
      if (!digests) return { ...input, digests: {} }
      const found = yield* Digest.ofWeights(original)
      if (adapter === undefined) return { ...input, digests: found }
      const added = yield* Effect.forEach(Object.values(Adapter.files), (name) =>
        Effect.map(Digest.ofFile(join(adapter.path, name)), (digest) => [name, digest] as const),
      )
      return { ...input, digests: { ...found, ...Object.fromEntries(added) } }
    }),
  )
})
