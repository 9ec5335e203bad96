/**
 * Source code: the modules that a stage's body is made of, by content.
 *
 * A stage's version is raised by hand; the code itself is no part of the key, or a comment would cost a week of
 * computing. It is recorded and compared instead: a hit made by other code is shown as `hit*`, `--strict` runs it
 * again, and `hila accept` says that the difference means nothing. Modules are the stage's own file and everything it
 * imports, packages of the same workspace included; installed packages count by their version. The engine itself does
 * not count: what it may change is in the format of the key.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { dirname, relative } from "node:path"
import type { Action } from "./Action.ts"
import * as Artifact from "./Artifact.ts"
import * as Canonical from "./Canonical.ts"
import type { ArtifactError, StoreError } from "./CoreError.ts"
import * as Digest from "./Digest.ts"
import { keep } from "./internal/resolution.ts"
import * as Modules from "./internal/modules.ts"
import type * as Node from "./Node.ts"
import { Store } from "./Store.ts"

/** Modules by path relative to the stage's own, and installed packages by name: digests and versions. */
export interface SourceCode {
  readonly digest: string
  readonly files: Readonly<Record<string, string>>
}

const Files = Artifact.json("source-code", Schema.Record(Schema.String, Schema.String))

/** The code of a stage as it is now, or undefined if its file cannot be told. */
const read = (module: string): Effect.Effect<SourceCode, never, Store> =>
  Effect.gen(function* () {
    const { sourceModule } = yield* Store
    const files: Record<string, string> = {}
    const resolve = Modules.resolver()
    const seen = new Set<string>()
    const open = [module]
    for (let path = open.pop(); path !== undefined; path = open.pop()) {
      if (seen.has(path)) continue
      seen.add(path)
      const found = yield* sourceModule(path)
      if (found === undefined) continue
      files[relative(dirname(module), path)] = found.digest
      for (const specifier of found.imports ?? []) {
        const target = resolve(path, specifier)
        if (target?._tag === "Module") open.push(target.path)
        if (target?._tag === "Installed") files[target.name] = target.version
      }
    }
    return { digest: Digest.of(`${Canonical.stringify(files)}\n`), files }
  })

/** A function that reads each stage's code once. */
export const reader = () => {
  const known = new Map<string, SourceCode>()
  return (node: Node.AnyStageNode): Effect.Effect<SourceCode | undefined, never, Store> => {
    const { module } = node.stage
    if (module === undefined) return Effect.succeed(undefined)
    const before = known.get(module)
    if (before !== undefined) return Effect.succeed(before)
    return Effect.tap(read(module), (code) => Effect.sync(() => known.set(module, code)))
  }
}

/** Keeps the list of modules, under its digest, so that a later difference can be named. */
export const store = ({
  digest,
  files,
}: SourceCode): Effect.Effect<void, ArtifactError | StoreError, Store> =>
  Effect.gen(function* () {
    const { condition } = yield* Store
    if ((yield* condition("file", digest)) !== "whole") yield* keep(Files, files)
  })

const differenceOf = Effect.fnUntraced(function* (now: SourceCode, recorded: string) {
  const { content } = yield* Store
  const found = yield* content("file", recorded)
  const was = Option.isSome(found) ? yield* Effect.option(Files.decode(found.value)) : Option.none()
  if (Option.isNone(was)) return ["(the list of its modules is gone)"]
  const names = new Set([...Object.keys(now.files), ...Object.keys(was.value)])
  return [...names].filter((name) => now.files[name] !== was.value[name]).toSorted()
})

/** A function that compares code with recorded code, each pair once: modules and packages that differ, sorted. */
export const comparer = () => {
  const known = new Map<string, ReadonlyArray<string>>()
  return (now: SourceCode, recorded: string): Effect.Effect<ReadonlyArray<string>, StoreError, Store> => {
    const pair = `${now.digest} ${recorded}`
    const before = known.get(pair)
    if (before !== undefined) return Effect.succeed(before)
    return Effect.tap(differenceOf(now, recorded), (files) => Effect.sync(() => known.set(pair, files)))
  }
}

/** Records that a stage's code as it is now makes what its record says: the difference means nothing. */
export const accept = (
  node: Node.AnyStageNode,
  action: Action,
): Effect.Effect<void, ArtifactError | StoreError, Store> =>
  Effect.gen(function* () {
    const { record } = yield* Store
    const code = yield* reader()(node)
    if (code === undefined) return
    yield* store(code)
    yield* record({ ...action, source: code.digest })
  })
