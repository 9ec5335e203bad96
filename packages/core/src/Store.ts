/**
 * The store: action records and the content they name, as a service.
 *
 * `Store.layer(directory)` keeps both on disk. Publishing is atomic: content first, under the name of its digest, the
 * record last. A process killed at any moment leaves only temporary files, which the next run removes.
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { Action, Part } from "./Action.ts"
import type { Content, FileContent, DirectoryContent } from "./Content.ts"
import type { SourceError, StoreError } from "./CoreError.ts"
import { makeFileStore } from "./internal/fileStore.ts"

/** Where content comes from and goes to. Digests are sha256 in hexadecimal. */
export class Store extends Context.Service<
  Store,
  {
    /** The record of a key, if its content is there too. */
    readonly lookup: (stage: string, key: string) => Effect.Effect<Option.Option<Action>, StoreError>
    /** All records of a stage, whether or not their content is still there. */
    readonly history: (stage: string) => Effect.Effect<ReadonlyArray<Action>, StoreError>
    /** Writes a record; its content must have been published. */
    readonly record: (action: Action) => Effect.Effect<void, StoreError>
    /** Moves a new file or directory into the store and returns it under its digest. */
    readonly publish: (path: string, scratch?: string) => Effect.Effect<Content, StoreError>
    /** Content by digest, or none if a blob of it is missing. */
    readonly content: (
      kind: "file" | "directory",
      digest: string,
    ) => Effect.Effect<Option.Option<Content>, StoreError>
    /** A file of the user's, hashed at most once while it stays unchanged. */
    readonly sourceFile: (path: string) => Effect.Effect<FileContent, SourceError | StoreError>
    /** A directory of the user's with all files below it, each hashed at most once while it stays unchanged. */
    readonly sourceDirectory: (path: string) => Effect.Effect<DirectoryContent, SourceError | StoreError>
    /** A finished element of an unfinished stage. */
    readonly part: (key: string, id: string) => Effect.Effect<Option.Option<Part>, StoreError>
    readonly recordPart: (key: string, part: Part) => Effect.Effect<void, StoreError>
    /** Forgets the elements of a stage, once the stage is published. */
    readonly dropParts: (key: string) => Effect.Effect<void, StoreError>
    /** A new private directory on the store's volume, removed when the scope closes. */
    readonly scratch: Effect.Effect<string, StoreError, Scope.Scope>
    /** Points `refs/<pipeline>/<output>` to a key and digest. */
    readonly refer: (pipeline: string, output: string, action: Action) => Effect.Effect<void, StoreError>
    /** Appends lines to the event log of a run. */
    readonly log: (run: string, lines: ReadonlyArray<string>) => Effect.Effect<void, StoreError>
  }
>()("@hila/core/Store") {
  /** A store in a directory, created by the first write. */
  static readonly layer = (directory: string): Layer.Layer<Store> =>
    Layer.effect(Store, makeFileStore(directory))
}
