/** Files that nobody put into a store on purpose. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { relative } from "node:path"
import { filesBelow } from "../internal/files.ts"
import { Disk } from "../Disk.ts"
import { Store } from "../Store.ts"

/**
 * The files below a store's directory, by relative name, that belong to no record, reference, log or unfinished stage.
 * After a collection without grace there must be none.
 */
export const strays = Effect.fnUntraced(function* (directory: string) {
  const store = yield* Store
  const disk = yield* Disk
  const expected = new Set(["format", "stat.json"])
  const keep = (digest: string) => void expected.add(`cas/${digest.slice(0, 2)}/${digest}`)
  for (const { digest, ingredients, key, kind, source } of yield* store.actions) {
    expected.add(`actions/${encodeURIComponent(ingredients.stage)}/${key}.json`)
    keep(digest)
    if (kind === "directory") for (const entry of yield* store.manifest(digest)) keep(entry.digest)
    if (source !== undefined) keep(source)
    for (const input of Object.values(ingredients.inputs).flat()) keep(input)
    const found = yield* store.lookup(ingredients.stage, key)
    if (Option.isNone(found)) yield* Effect.die(new Error(`the record of ${key} has no content`))
  }
  return filesBelow(disk, directory)
    .map((name) => relative(directory, `${directory}/${name}`))
    .filter((name) => !expected.has(name) && !/^(records|refs|runs)\//.test(name))
})
