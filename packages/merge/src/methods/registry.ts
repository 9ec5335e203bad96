/** Every method's definition by its name. Loads all methods; `names.ts` lists them without loading any. */
import type { Definition } from "./Definition.ts"
import { files, type Name } from "./names.ts"

const load = async ([name, file]: readonly [string, () => Promise<{ readonly definition: Definition }>]) =>
  [name, (await file()).definition] as const

/** Every method. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of `files` are the names
export const definitions = Object.fromEntries(await Promise.all(Object.entries(files).map(load))) as Readonly<
  Record<Name, Definition>
>
