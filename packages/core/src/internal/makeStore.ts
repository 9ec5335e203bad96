/** A store: blobs and scratch space in a directory, laid out as in `layout.ts`, and records wherever texts are kept. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { join } from "node:path"
import { Action, Part } from "../Action.ts"
import * as Canonical from "../Canonical.ts"
import * as Content from "../Content.ts"
import { StoreError } from "../CoreError.ts"
import type { Claim, Ref as StoreRef, Store } from "../Store.ts"
import { isReadOnly, storeSync, storeTry } from "./files.ts"
import { format, type Layout, nameOf } from "./layout.ts"
import * as locks from "./locks.ts"
import { areFiles, Digest, isDigest } from "./names.ts"
import * as publication from "./publication.ts"
import * as Records from "./records.ts"
import * as scratch from "./scratch.ts"
import * as sources from "./sources.ts"
import type { Texts } from "./texts.ts"

const Manifest = Schema.Record(Schema.String, Schema.Struct({ digest: Digest, size: Schema.Int })).check(
  Schema.makeFilter((files) => areFiles(Object.keys(files)) || "expected names of files below the directory"),
)
const Ref = Schema.Struct({ stage: Schema.String, key: Digest, digest: Digest })
const decodePart = Schema.decodeUnknownOption(Schema.fromJsonString(Part))
const decodeManifest = Schema.decodeUnknownOption(Schema.fromJsonString(Manifest))
const decodeRef = Schema.decodeUnknownOption(Schema.fromJsonString(Ref))

/** Milliseconds that clocks of machines may differ. */
const tolerance = 60_000

/**
 * Runs by when they began, as their names say. One whose clock was ahead, beyond now, says nothing of that: it comes first,
 * or it would stay the last for as long.
 */
export const inOrder = (runs: ReadonlyArray<string>, now: number): ReadonlyArray<string> => {
  const began = (run: string) => Date.parse(run.replace(/^(.{10}T..)-(..)-(..)-(...Z).*$/, "$1:$2:$3.$4"))
  const isAhead = (run: string) => began(run) > now + tolerance
  const sorted = runs.toSorted()
  return [...sorted.filter(isAhead), ...sorted.filter((run) => !isAhead(run))]
}

const withoutSuffix = (name: string): string => name.replace(/\.jsonl?$/, "")

/** Fails where a later Hila has written, rather than guess what it meant. */
const checkFormat = (layout: Layout, text: string | undefined): Effect.Effect<void, StoreError> => {
  const found = text === undefined ? format : Number(text)
  if (found === format) return Effect.void
  const problem = `it has layout ${String(text).trim()}, this Hila knows ${format}: update Hila, or name another directory with --store`
  return Effect.fail(new StoreError({ operation: "open", path: layout.root, problem }))
}

/** Opens a store. Reading creates nothing; the first write creates the directory. */
export const makeStore = (
  layout: Layout,
  texts: Texts,
): Effect.Effect<Store["Service"], StoreError, Scope.Scope> =>
  Effect.gen(function* () {
    yield* Effect.flatMap(texts.read(layout.format), (text) => checkFormat(layout, text))
    const files = sources.make(layout)
    const records = Records.make(layout, texts)
    yield* Effect.addFinalizer(() => Effect.andThen(files.save, records.save))

    const write = (path: string, value: unknown) => texts.write(path, `${Canonical.stringify(value)}\n`)
    // Read back by schema: a record of a newer format or a damaged one is no record.
    const read = <A>(path: string, decode: (text: string) => Option.Option<A>) =>
      Effect.map(texts.read(path), (text) => (text === undefined ? Option.none<A>() : decode(text)))

    /** A blob's size, or what is wrong with it. One look is enough unless somebody wrote to it. */
    const blob = (digest: string, size?: number): Effect.Effect<number | publication.Broken, StoreError> =>
      Effect.flatMap(
        storeSync("read", layout.blob(digest), (disk) => publication.glance(disk, layout, digest, size)),
        (seen): Effect.Effect<number | publication.Broken, StoreError> =>
          seen !== "touched"
            ? Effect.succeed(seen)
            : storeTry("read", layout.blob(digest), (disk) =>
                publication.inspect(disk, layout, digest, size),
              ),
      )

    /** What a directory's blob lists; none where it is no manifest, whoever wrote it. */
    const manifest = (digest: string) =>
      Effect.map(
        storeSync("read", layout.blob(digest), (disk) => disk.text(layout.blob(digest))),
        decodeManifest,
      )

    const fileAt = (digest: string, size: number): Content.FileContent => ({
      _tag: "File",
      path: layout.blob(digest),
      size,
      digest,
    })

    /** Content, or what is wrong with it. */
    const inspect = Effect.fnUntraced(function* (
      kind: "file" | "directory",
      digest: string,
    ): Effect.fn.Return<Content.Content | publication.Broken, StoreError> {
      const head = yield* blob(digest)
      if (typeof head === "string") return head
      if (kind === "file") return fileAt(digest, head)
      const listed = yield* manifest(digest)
      if (Option.isNone(listed)) return "damaged"
      const files: Array<readonly [string, Content.FileContent]> = []
      for (const [name, entry] of Object.entries(listed.value)) {
        const found = yield* blob(entry.digest, entry.size)
        if (typeof found === "string") return found
        files.push([name, fileAt(entry.digest, found)])
      }
      const directory = Content.directory(Object.fromEntries(files))
      return directory.digest === digest ? directory : "damaged"
    })

    const condition = (kind: "file" | "directory", digest: string) =>
      Effect.map(inspect(kind, digest), (found) => (typeof found === "string" ? found : ("whole" as const)))

    const content = (kind: "file" | "directory", digest: string) =>
      Effect.map(inspect(kind, digest), (found) =>
        typeof found === "string" ? Option.none<Content.Content>() : Option.some(found),
      )

    const sizeOf = (kind: "file" | "directory", digest: string) =>
      kind === "file"
        ? blob(digest)
        : Effect.map(inspect(kind, digest), (found) => (typeof found === "string" ? found : found.size))

    const lookup = (stage: string, key: string) =>
      Effect.flatMap(records.read(stage, key), (action) =>
        Option.isNone(action) || action.value.key !== key
          ? Effect.succeed(Option.none<Action>())
          : Effect.map(sizeOf(action.value.kind, action.value.digest), (size) =>
              size === action.value.size ? action : Option.none<Action>(),
            ),
      )

    // Records do not change: each is decoded once, however many misses are explained by it.
    const decoded = new Map<string, Option.Option<Action>>()
    const historyAt = Effect.fnUntraced(function* (directory: string) {
      const found: Array<Action> = []
      for (const name of yield* texts.list(directory)) {
        const path = join(directory, name)
        const action = decoded.get(path) ?? (yield* read(path, Records.decode))
        decoded.set(path, action)
        if (Option.isSome(action)) found.push(action.value)
      }
      return found
    })

    let isPrepared = false
    /** Once, before the first write: the format, and what killed processes left. */
    const prepare = Effect.suspend(() => {
      if (isPrepared) return Effect.void
      isPrepared = true
      return Effect.gen(function* () {
        yield* scratch.sweep(layout)
        yield* locks.sweep(layout)
        if ((yield* texts.read(layout.format)) === undefined) yield* texts.write(layout.format, `${format}\n`)
      })
    })

    let isWarned = false
    /**
     * What a run writes besides results: that it goes on, what it did, where its outputs are. A store that is there and may
     * only be read from does without, so that a run of hits can be had from it; a stage that has to run fails as it claims
     * its key.
     */
    const ifWritable = <A, R>(
      write: Effect.Effect<A, StoreError, R>,
      otherwise: A | Effect.Effect<A, StoreError, R>,
    ): Effect.Effect<A, StoreError, R> =>
      Effect.catchTag(write, "StoreError", (error) =>
        Effect.gen(function* () {
          if (!isReadOnly(error) || (yield* texts.read(layout.format)) === undefined) return yield* error
          if (!isWarned)
            yield* Effect.logWarning(`${layout.root} may only be read from: this run leaves no log there`)
          isWarned = true
          return Effect.isEffect(otherwise) ? yield* otherwise : otherwise
        }),
      )

    const { save: _, ...userFiles } = files
    return {
      lookup,
      history: (stage) => historyAt(layout.actions(stage)),
      content,
      condition,
      ...userFiles,
      record: (action) => {
        const { stage } = action.ingredients
        const path = layout.action(stage, action.key)
        const written = Effect.andThen(records.changed(stage), write(path, action))
        return Effect.tap(written, () => Effect.sync(() => decoded.set(path, Option.some(action))))
      },
      publish: (path, from) => Effect.andThen(prepare, publication.publish(layout, path, from)),
      part: (key, id) => read(layout.part(key, id), decodePart),
      recordPart: (key, part) => write(layout.part(key, part.id), part),
      dropParts: (key) => texts.remove(layout.parts(key)),
      // What a pipeline states in its text is put there to see whether it is known.
      scratch: ifWritable(Effect.andThen(prepare, scratch.directory(layout)), scratch.elsewhere),
      claim: (key) => locks.claim(layout, key),
      enter: ifWritable<Claim, Scope.Scope>(Effect.andThen(prepare, locks.enter(layout)), { held: true }),
      refer: (pipeline, output, action) =>
        ifWritable(
          write(layout.ref(pipeline, output), {
            stage: action.ingredients.stage,
            key: action.key,
            digest: action.digest,
          }),
          undefined,
        ),
      log: (run, lines) => {
        const text = lines.map((line) => `${line}\n`).join("")
        return ifWritable(Effect.andThen(prepare, texts.append(layout.run(run), text)), undefined)
      },
      actions: Effect.flatMap(texts.list(layout.allActions), (stages) =>
        Effect.map(
          Effect.forEach(stages, (stage) => historyAt(join(layout.allActions, stage))),
          (found) => found.flat(),
        ),
      ),
      refs: Effect.gen(function* () {
        const found: Array<StoreRef> = []
        for (const directory of yield* texts.list(layout.refs)) {
          for (const file of yield* texts.list(join(layout.refs, directory))) {
            const ref = yield* read(join(layout.refs, directory, file), decodeRef)
            const [pipeline, output] = [nameOf(directory), nameOf(file)]
            if (Option.isSome(ref) && pipeline !== undefined && output !== undefined)
              found.push({ pipeline, output, ...ref.value })
          }
        }
        return found
      }),
      runs: Effect.map(texts.list(layout.runs), (names) =>
        inOrder(
          names.flatMap((name) => nameOf(withoutSuffix(name)) ?? []),
          Date.now(),
        ),
      ),
      events: (run) =>
        Effect.map(texts.read(layout.run(run)), (text) =>
          // A killed run may end in the middle of a line.
          (text ?? "").split("\n").filter((line) => line.endsWith("}")),
        ),
      parts: Effect.gen(function* () {
        const found: Array<{ readonly key: string; readonly parts: ReadonlyArray<Part> }> = []
        for (const key of (yield* texts.list(layout.allParts)).filter(isDigest)) {
          const names = yield* texts.list(layout.parts(key))
          const parts = yield* Effect.forEach(names, (name) =>
            read(join(layout.parts(key), name), decodePart),
          )
          found.push({ key, parts: parts.flatMap((part) => (Option.isSome(part) ? [part.value] : [])) })
        }
        return found
      }),
      blobs: storeSync("read", layout.cas, (disk) =>
        disk.entries(layout.cas).flatMap((prefix) =>
          disk.entries(join(layout.cas, prefix.name)).flatMap(({ name }) => {
            const info = disk.stat(join(layout.cas, prefix.name, name))
            return info === undefined || !isDigest(name)
              ? []
              : [{ digest: name, size: info.size, changed: info.changed }]
          }),
        ),
      ),
      manifest: (digest) =>
        Effect.map(manifest(digest), (listed) => (Option.isNone(listed) ? [] : Object.values(listed.value))),
      rehash: (digest) => storeTry("read", layout.blob(digest), (disk) => disk.hash(layout.blob(digest))),
      quarantine: (digest) =>
        storeTry("set aside", layout.blob(digest), async (disk) => {
          await disk.makeDirectory(join(layout.quarantine(digest), ".."))
          await disk.rename(layout.blob(digest), layout.quarantine(digest))
        }),
      removeBlob: (digest) =>
        storeTry("remove", layout.blob(digest), async (disk) => {
          await disk.remove(layout.blob(digest))
          await disk.removeEmpty(join(layout.blob(digest), "..")).catch(() => undefined)
        }),
      removeAction: (action) => {
        const { stage } = action.ingredients
        const path = layout.action(stage, action.key)
        const removed = Effect.andThen(records.changed(stage), texts.remove(path))
        return Effect.tap(removed, () => Effect.sync(() => decoded.delete(path)))
      },
      close: Effect.andThen(prepare, locks.close(layout)),
    }
  })
