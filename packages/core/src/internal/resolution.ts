/** Finds the content of sources. */
import * as Effect from "effect/Effect"
import { join } from "node:path"
import type { ArtifactError, SourceError, StoreError } from "../CoreError.ts"
import type { Content } from "../Content.ts"
import type { SourceNode } from "../Node.ts"
import { Store } from "../Store.ts"
import type { AnyArtifact } from "./erased.ts"

/** Writes a value into the store by its artifact. */
export const keep = (
  artifact: AnyArtifact,
  value: unknown,
  scratch?: string,
): Effect.Effect<Content, ArtifactError | StoreError, Store> =>
  Effect.scoped(
    Effect.gen(function* () {
      const store = yield* Store
      const path = join(yield* store.scratch, "value")
      yield* artifact.encode(value, path)
      return yield* store.publish(path, scratch)
    }),
  )

/** The content of a source: hashed, found unchanged, or, for a value, written to the store. */
export const resolveSource = (
  node: SourceNode<unknown>,
): Effect.Effect<Content, SourceError | StoreError | ArtifactError, Store> =>
  Effect.flatMap(Store, (store) =>
    node.resolve({
      file: store.sourceFile,
      directory: store.sourceDirectory,
      keep: (artifact, value) => Effect.provideService(keep(artifact, value), Store, store),
    }),
  )
