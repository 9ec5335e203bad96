/** Finds the file that an import means, without loading it. */
import { realpathSync, readFileSync, statSync } from "node:fs"
import { isBuiltin } from "node:module"
import { dirname, join, sep } from "node:path"
import { fileURLToPath } from "node:url"

/** A module whose content counts, or an installed package whose version does. */
export type Target =
  | { readonly _tag: "Module"; readonly path: string }
  | { readonly _tag: "Installed"; readonly name: string; readonly version: string }

const engine = "@hila/core"
const conditions = new Set(["@hila/source", "node", "import", "module-sync", "default"])

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false

/** A relative import: as written, or with the suffix that a compiler or bundler would find. */
const relativeFile = (from: string, specifier: string): string | undefined => {
  const at = specifier.startsWith("file:") ? fileURLToPath(specifier) : join(dirname(from), specifier)
  const candidates = [at, at.replace(/\.js$/, ".ts"), `${at}.ts`, `${at}.js`, join(at, "index.ts")]
  return candidates.find(isFile)
}

interface Manifest {
  readonly version?: string
  readonly exports?: unknown
  readonly main?: string
}

/** The nearest installed package of a name, links resolved. */
const packageOf = (from: string, name: string) => {
  for (let directory = dirname(from); ; directory = dirname(directory)) {
    const path = join(directory, "node_modules", name, "package.json")
    if (isFile(path)) {
      const manifest: Manifest = JSON.parse(readFileSync(path, "utf8"))
      return { directory: dirname(realpathSync(path)), manifest }
    }
    if (directory === dirname(directory)) return undefined
  }
}

/** The first target of conditional exports whose condition holds. */
const target = (exports: unknown): string | undefined => {
  if (typeof exports === "string") return exports
  if (typeof exports !== "object" || exports === null) return undefined
  for (const [condition, next] of Object.entries(exports)) {
    if (!conditions.has(condition)) continue
    const found = target(next)
    if (found !== undefined) return found
  }
  return undefined
}

const exported = ({ exports, main }: Manifest, subpath: string): string | undefined => {
  if (typeof exports !== "object" || exports === null) return typeof exports === "string" ? exports : main
  const entries: ReadonlyArray<readonly [string, unknown]> = Object.entries(exports)
  const exact = entries.find(([name]) => name === subpath)
  if (exact !== undefined) return target(exact[1])
  if (subpath === "." && entries.every(([name]) => !name.startsWith("."))) return target(exports)
  for (const [name, value] of entries) {
    const [before, after] = name.split("*")
    if (before === undefined || after === undefined) continue
    if (!subpath.startsWith(before) || !subpath.endsWith(after)) continue
    const middle = subpath.slice(before.length, subpath.length - after.length)
    const found = target(value)?.replaceAll("*", middle)
    if (found !== undefined) return found
  }
  return undefined
}

/** A function from an importing file and a specifier to what is imported; undefined for what does not count. */
export const resolver = () => {
  const packages = new Map<string, ReturnType<typeof packageOf>>()
  return (from: string, specifier: string): Target | undefined => {
    if (specifier.startsWith(".") || specifier.startsWith("file:")) {
      const path = relativeFile(from, specifier)
      return path === undefined ? undefined : { _tag: "Module", path }
    }
    if (isBuiltin(specifier) || !/^[@\w]/.test(specifier)) return undefined
    const parts = specifier.split("/")
    const name = parts.slice(0, specifier.startsWith("@") ? 2 : 1).join("/")
    if (name === engine) return undefined
    const id = `${dirname(from)}\n${name}`
    if (!packages.has(id)) packages.set(id, packageOf(from, name))
    const found = packages.get(id)
    if (found === undefined) return undefined
    if (found.directory.includes(`${sep}node_modules${sep}`))
      return { _tag: "Installed", name, version: found.manifest.version ?? "" }
    const subpath = [".", ...parts.slice(name.split("/").length)].join("/")
    const file = exported(found.manifest, subpath)
    return file === undefined ? undefined : { _tag: "Module", path: join(found.directory, file) }
  }
}
