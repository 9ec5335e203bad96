/** The version of this package, for provenance. */
import { createRequire } from "node:module"

const manifest: { readonly version: string } = createRequire(import.meta.url)("../../package.json")

export const version: string = manifest.version
