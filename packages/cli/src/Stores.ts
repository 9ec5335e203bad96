/** The store that a command works on. */
import { Store } from "@hila/core"
import { resolve } from "node:path"

/** The store of `--store`. */
export const layer = (given: { readonly store: string }) => Store.layer(resolve(given.store))
