/** All importance methods by name. Loads all of them; `names.ts` lists them without loading any. */
import type { Method } from "./Method.ts"
import { files, type Name } from "./names.ts"

const load = async ([name, file]: readonly [string, () => Promise<{ readonly method: Method }>]) =>
  [name, (await file()).method] as const

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of `files` are the names
export const byName = Object.fromEntries(await Promise.all(Object.entries(files).map(load))) as Readonly<
  Record<Name, Method>
>
