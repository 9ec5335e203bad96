/** What a module imports, found without running it. */
import * as Digest from "../Digest.ts"
import { at } from "../Lookup.ts"

/** `from "…"`, `import "…"`, `import("…")`, `require("…")`, `new URL("…", import.meta.url)`. */
const patterns = [
  /\bfrom\s*["']([^"']+)["']/g,
  /\bimport\s*\(?\s*["']([^"']+)["']/g,
  /\brequire\s*\(\s*["']([^"']+)["']\s*\)/g,
  /\bnew URL\(\s*["'](\.[^"']+\.[cm]?[jt]s)["']/g,
]

/** The digest of a module's text, and the specifiers in it: each once, sorted. */
export const read = (text: string): { readonly digest: string; readonly imports: ReadonlyArray<string> } => ({
  digest: Digest.of(text),
  imports: [
    ...new Set(patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => at(match, 1)))),
  ].toSorted(),
})
