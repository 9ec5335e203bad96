/**
 * The store: action records and the content they name, as a service.
 *
 * `Store.layer(directory)` keeps both on disk. Publishing is atomic: content first, under the name of its digest, the
 * record last. A process killed at any moment leaves only temporary files, which the next run removes. Any number of
 * processes may share a store: they agree by claims on who computes a key.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { mkdtemp } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import type { Action, Part } from "./Action.ts"
import type { Content, FileContent, DirectoryContent } from "./Content.ts"
import type { SourceError, StoreError } from "./CoreError.ts"
import { storeTry } from "./internal/files.ts"
import { layout } from "./internal/layout.ts"
import { makeStore } from "./internal/makeStore.ts"
import { inMemory, onDisk } from "./internal/texts.ts"

/** Whether a claim holds; if not, who holds it, for people: `process 4711 on host`. */
export type Claim = { readonly held: true } | { readonly held: false; readonly owner: string }

/** What the store has of some content: all of it, not all, or bytes that are not those of their digest. */
export type Condition = "whole" | "missing" | "damaged"

/** The record that an output of a pipeline pointed to last. */
export interface Ref {
  readonly pipeline: string
  readonly output: string
  readonly stage: string
  readonly key: string
  readonly digest: string
}

/** A blob: bytes under their digest; `changed` in milliseconds since 1970 is when it was last published. */
export interface Blob {
  readonly digest: string
  readonly size: number
  readonly changed: number
}

/** A module of the user's code: its digest and the specifiers it imports. */
export interface Module {
  readonly digest: string
  readonly imports?: ReadonlyArray<string>
}

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
    /** Content by digest, or none if a blob of it is missing or damaged. */
    readonly content: (
      kind: "file" | "directory",
      digest: string,
    ) => Effect.Effect<Option.Option<Content>, StoreError>
    /** Whether content is there. Blobs that were written to since they were published are read. */
    readonly condition: (kind: "file" | "directory", digest: string) => Effect.Effect<Condition, StoreError>

    /** A file of the user's, hashed at most once while it stays unchanged. */
    readonly sourceFile: (path: string) => Effect.Effect<FileContent, SourceError>
    /** A directory of the user's with all files below it, each hashed at most once while it stays unchanged. */
    readonly sourceDirectory: (path: string) => Effect.Effect<DirectoryContent, SourceError>
    /** A module of the user's code, read at most once while it stays unchanged; undefined if there is none. */
    readonly sourceModule: (path: string) => Effect.Effect<Module | undefined>
    /** Where files of a digest were last seen. */
    readonly sourcePaths: (digest: string) => Effect.Effect<ReadonlyArray<string>>

    /** A finished element of an unfinished stage. */
    readonly part: (key: string, id: string) => Effect.Effect<Option.Option<Part>, StoreError>
    readonly recordPart: (key: string, part: Part) => Effect.Effect<void, StoreError>
    /** Forgets the elements of a stage, once the stage is published. */
    readonly dropParts: (key: string) => Effect.Effect<void, StoreError>
    /** A new private directory on the store's volume, removed when the scope closes. */
    readonly scratch: Effect.Effect<string, StoreError, Scope.Scope>

    /** Claims a key until the scope closes, if no living process has it. */
    readonly claim: (key: string) => Effect.Effect<Claim, StoreError, Scope.Scope>
    /** Announces a run until the scope closes; does not hold while a collection is in progress. */
    readonly enter: Effect.Effect<Claim, StoreError, Scope.Scope>
    /** Announces a collection until the scope closes; does not hold while runs are in progress. */
    readonly close: Effect.Effect<Claim, StoreError, Scope.Scope>

    /** Points `refs/<pipeline>/<output>` to a key and digest. */
    readonly refer: (pipeline: string, output: string, action: Action) => Effect.Effect<void, StoreError>
    /** Appends lines to the event log of a run. */
    readonly log: (run: string, lines: ReadonlyArray<string>) => Effect.Effect<void, StoreError>

    /** Everything there is: records, references, runs (oldest first), elements of unfinished stages, blobs. */
    readonly actions: Effect.Effect<ReadonlyArray<Action>, StoreError>
    readonly refs: Effect.Effect<ReadonlyArray<Ref>, StoreError>
    readonly runs: Effect.Effect<ReadonlyArray<string>, StoreError>
    readonly events: (run: string) => Effect.Effect<ReadonlyArray<string>, StoreError>
    readonly parts: Effect.Effect<
      ReadonlyArray<{ readonly key: string; readonly parts: ReadonlyArray<Part> }>,
      StoreError
    >
    readonly blobs: Effect.Effect<ReadonlyArray<Blob>, StoreError>
    /** Digests and sizes of the files in a directory, by its digest; none where it is no directory. */
    readonly manifest: (
      digest: string,
    ) => Effect.Effect<ReadonlyArray<{ readonly digest: string; readonly size: number }>, StoreError>
    /** The digest of a blob's bytes as they are now. */
    readonly rehash: (digest: string) => Effect.Effect<string, StoreError>
    /** Takes a damaged blob out of the way, and keeps it for inspection. */
    readonly quarantine: (digest: string) => Effect.Effect<void, StoreError>
    readonly removeBlob: (digest: string) => Effect.Effect<void, StoreError>
    readonly removeAction: (action: Action) => Effect.Effect<void, StoreError>
  }
>()("@hila/core/Store") {
  /** A store in a directory, created by the first write. */
  static readonly layer = (directory: string): Layer.Layer<Store, StoreError> =>
    Layer.effect(
      Store,
      Effect.suspend(() => {
        const at = layout(resolve(directory))
        return makeStore(at, onDisk(at))
      }),
    )

  /** A store of its own that goes with its layer: records in memory, content in a private directory. */
  static readonly layerMemory: Layer.Layer<Store, StoreError> = Layer.effect(
    Store,
    Effect.gen(function* () {
      const root = yield* Effect.acquireRelease(
        storeTry("create", tmpdir(), () => mkdtemp(join(tmpdir(), "hila-memory-"))),
        (path) => Effect.ignore(storeTry("remove", path, (disk) => disk.remove(path))),
      )
      return yield* makeStore(layout(root), inMemory())
    }),
  )
}
