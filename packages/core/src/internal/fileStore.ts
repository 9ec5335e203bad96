/** The store on disk, laid out as in `layout.ts`. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { appendFile, mkdir, readdir, readFile, rm, stat } from "node:fs/promises"
import { dirname, resolve } from "node:path"
import { Action, Part } from "../Action.ts"
import * as Canonical from "../Canonical.ts"
import * as Content from "../Content.ts"
import type { StoreError } from "../CoreError.ts"
import type { Store } from "../Store.ts"
import { codeOf, storeTry } from "./files.ts"
import { layout as layoutOf } from "./layout.ts"
import { publish, writeAtomic } from "./publication.ts"
import * as scratch from "./scratch.ts"
import * as sources from "./sources.ts"

const Manifest = Schema.Record(Schema.String, Schema.Struct({ digest: Schema.String, size: Schema.Int }))
const decodeAction = Schema.decodeUnknownOption(Schema.fromJsonString(Action))
const decodePart = Schema.decodeUnknownOption(Schema.fromJsonString(Part))
const decodeManifest = Schema.decodeUnknownOption(Schema.fromJsonString(Manifest))

/** The text of a file, or undefined where there is none. */
const textOf = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, "utf8")
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined
    throw cause
  }
}

/** Opens the store in a directory. Reading creates nothing; the first write creates the directory. */
export const makeFileStore = (directory: string): Effect.Effect<Store["Service"]> =>
  Effect.sync(() => {
    const layout = layoutOf(resolve(directory))
    const write = (path: string, value: unknown) =>
      storeTry("write", path, () =>
        writeAtomic(path, `${Canonical.stringify(value)}\n`, scratch.name(layout)),
      )
    // Read back by schema: a record of a newer format or a damaged one is no record.
    const read = <A>(path: string, decode: (text: string) => Option.Option<A>) =>
      Effect.map(
        storeTry("read", path, () => textOf(path)),
        (text) => (text === undefined ? Option.none<A>() : decode(text)),
      )

    const blob = (digest: string): Effect.Effect<Option.Option<Content.FileContent>, StoreError> => {
      const path = layout.blob(digest)
      return storeTry("read", path, async () => {
        try {
          const { size } = await stat(path)
          return Option.some({ _tag: "File" as const, path, size, digest })
        } catch (cause) {
          if (codeOf(cause) === "ENOENT") return Option.none()
          throw cause
        }
      })
    }

    const content = Effect.fnUntraced(function* (
      kind: "file" | "directory",
      digest: string,
    ): Effect.fn.Return<Option.Option<Content.Content>, StoreError> {
      const head = yield* blob(digest)
      if (kind === "file" || Option.isNone(head)) return head
      const manifest = yield* read(head.value.path, decodeManifest)
      if (Option.isNone(manifest)) return Option.none()
      const files: Record<string, Content.FileContent> = {}
      for (const [name, entry] of Object.entries(manifest.value)) {
        const file = yield* blob(entry.digest)
        if (Option.isNone(file) || file.value.size !== entry.size) return Option.none()
        files[name] = file.value
      }
      return Option.some(Content.directory(files))
    })

    const lookup = Effect.fnUntraced(function* (stage: string, key: string) {
      const action = yield* read(layout.action(stage, key), decodeAction)
      if (Option.isNone(action)) return action
      const found = yield* content(action.value.kind, action.value.digest)
      return Option.isSome(found) && found.value.size === action.value.size ? action : Option.none()
    })

    const history = Effect.fnUntraced(function* (stage: string) {
      const at = layout.actions(stage)
      const names = yield* storeTry("read", at, () =>
        readdir(at).catch((cause: unknown) => {
          if (codeOf(cause) === "ENOENT") return []
          throw cause
        }),
      )
      const actions = yield* Effect.forEach(names, (name) => read(`${at}/${name}`, decodeAction))
      return actions.flatMap((action) => (Option.isSome(action) ? [action.value] : []))
    })

    const swept = scratch.sweep(layout)
    let isSwept = false
    const sweepOnce = Effect.suspend(() => {
      if (isSwept) return Effect.void
      isSwept = true
      return swept
    })

    return {
      lookup,
      history,
      content,
      ...sources.make(layout),
      record: (action) => write(layout.action(action.ingredients.stage, action.key), action),
      publish: (path, from) => publish(layout, path, from),
      part: (key, id) => read(layout.part(key, id), decodePart),
      recordPart: (key, part) => write(layout.part(key, part.id), part),
      dropParts: (key) =>
        storeTry("remove", layout.parts(key), () => rm(layout.parts(key), { recursive: true, force: true })),
      scratch: Effect.andThen(sweepOnce, scratch.directory(layout)),
      refer: (pipeline, output, action) =>
        write(layout.ref(pipeline, output), {
          stage: action.ingredients.stage,
          key: action.key,
          digest: action.digest,
        }),
      log: (run, lines) => {
        const path = layout.run(run)
        const append = storeTry("write", path, async () => {
          await mkdir(dirname(path), { recursive: true })
          await appendFile(path, lines.map((line) => `${line}\n`).join(""))
        })
        return Effect.andThen(sweepOnce, append)
      },
    }
  })
