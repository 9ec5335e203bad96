/**
 * A bundle: one directory with everything a collaboration answers with, and a manifest that says what belongs to it.
 *
 *     bundle.json            experts, classes, how many run, thresholds; the digest of every other file
 *     head.safetensors       gate and fusion
 *     experts/<name>/…       a checkpoint each: config.json, tokenizer.json, model.safetensors
 *
 * Opening checks every file against its digest, so what answers is what was packed.
 */
import { Artifact, Digest } from "@hila/core"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { constants } from "node:fs"
import { copyFile, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises"
import { dirname, join, relative, resolve } from "node:path"
import * as Cascade from "../Cascade.ts"
import * as Collaboration from "../Collaboration.ts"
import { CollabError } from "../CollabError.ts"
import * as Expert from "../Expert.ts"
import * as Fit from "../Fit.ts"
import * as Head from "../heads/Head.ts"

const format = "hila/collab 1"

/** What a bundle says of itself; file names are relative to it. */
export const Manifest = Schema.Struct({
  format: Schema.Literal(format),
  classes: Schema.Array(Schema.String),
  experts: Schema.Array(Expert.Spec),
  /** Experts the gate chooses; all without it. */
  topK: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(0))),
  cascade: Schema.optionalKey(Cascade.Cascade),
  /** sha256 by file. */
  files: Schema.Record(Schema.String, Schema.String),
})
export type Manifest = typeof Manifest.Type

/** A bundle as an artifact. */
export const artifact = Artifact.directory("collab-bundle")

/** What goes into a bundle. */
export interface Contents {
  readonly models: ReadonlyArray<Checkpoint.Checkpoint>
  readonly specs: ReadonlyArray<Expert.Spec>
  readonly classes: ReadonlyArray<string>
  readonly head: Artifact.FileHandle
  readonly topK?: number
  readonly cascade?: Cascade.Cascade
}

const attempt = <A>(subject: string, blame: "input" | "system", call: () => Promise<A>) =>
  Effect.tryPromise({
    try: call,
    catch: (cause) =>
      new CollabError({ subject, problem: cause instanceof Error ? cause.message : String(cause), blame }),
  })

/** Names of experts become names of directories. */
const isName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9 ._-]*$/.test(name)

/** Fails unless a bundle can be put there: nothing is, or an empty directory. */
const requireFree = Effect.fnUntraced(function* (root: string) {
  const problem = yield* Effect.promise(() =>
    readdir(root).then(
      (names) => (names.length === 0 ? undefined : "already exists; give a new or empty directory"),
      (cause: NodeJS.ErrnoException) =>
        cause.code === "ENOENT" ? undefined : `is no directory: ${cause.message}; give a new or empty one`,
    ),
  )
  if (problem !== undefined) return yield* new CollabError({ subject: root, problem })
})

/**
 * Writes a bundle to a directory that is new or empty: all of it, or nothing. Fails before anything is written where
 * head, experts, classes and thresholds do not belong together.
 */
export const write = Effect.fnUntraced(function* (
  directory: string,
  { cascade, classes, head, models, specs, topK }: Contents,
) {
  const names = specs.map(({ name }) => name)
  if (new Set(names).size !== names.length || !names.every(isName) || models.length !== names.length) {
    return yield* new CollabError({
      subject: directory,
      problem: `expected one plain name for each of ${models.length} experts, got ${names.join(", ")}`,
    })
  }
  const chosen = {
    ...(topK === undefined ? {} : { topK }),
    ...(cascade === undefined ? {} : { cascade }),
  }
  const { spec } = yield* Head.read(head)
  const problem = Fit.problem(spec, { experts: specs, classes, ...chosen })
  if (problem !== undefined) return yield* new CollabError({ subject: directory, problem })
  const root = resolve(directory)
  yield* requireFree(root)
  // Beside its place first, so that what is stopped leaves nothing there.
  const beside = `${root}.part-${process.pid}`
  const sources: ReadonlyArray<readonly [string, string]> = [
    ["head.safetensors", head.path],
    ...models.flatMap(({ files }, i) =>
      Object.entries(files).map(([name, path]) => [`experts/${names[i]}/${name}`, path] as const),
    ),
  ]
  const fill = Effect.gen(function* () {
    const digests: Array<readonly [string, string]> = []
    for (const [name, from] of sources) {
      const to = join(beside, name)
      yield* attempt(to, "system", async () => {
        await mkdir(dirname(to), { recursive: true })
        await copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL)
      })
      digests.push([name, yield* Digest.ofFile(to)])
    }
    const manifest: Manifest = {
      format,
      classes,
      experts: specs,
      ...chosen,
      files: Object.fromEntries(digests),
    }
    const text = `${JSON.stringify(manifest, undefined, 2)}\n`
    yield* attempt(root, "system", async () => {
      await writeFile(join(beside, "bundle.json"), text)
      await rmdir(root).catch(() => undefined)
      await rename(beside, root)
    })
    return manifest
  })
  const sweep = Effect.promise(() => rm(beside, { recursive: true, force: true }))
  return yield* Effect.ensuring(fill, sweep)
})

/**
 * Files that a bundle holds beside those of its manifest: in an expert's directory they would be read as the expert's own, and
 * are refused; elsewhere they are told, and not read.
 */
const checkOthers = Effect.fnUntraced(function* (root: string, { files }: Manifest) {
  const entries = yield* attempt(root, "input", () => readdir(root, { recursive: true, withFileTypes: true }))
  const others = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .filter((name) => name !== "bundle.json" && !Object.hasOwn(files, name))
    .toSorted()
  const within = others.find((name) => name.startsWith("experts/"))
  if (within !== undefined) {
    const problem = `${within} was not packed, and would be read with what was; remove it, or pack the bundle again`
    return yield* new CollabError({ subject: root, problem })
  }
  const shown = others.length > 3 ? [...others.slice(0, 3), "…"] : others
  if (others.length > 0)
    yield* Effect.logWarning(`${root} holds ${shown.join(", ")} beside what was packed, which is not read`)
})

/** Reads a bundle's manifest and checks its files. */
export const read = Effect.fnUntraced(function* (directory: string) {
  const root = resolve(directory)
  const path = join(root, "bundle.json")
  const text = yield* Effect.mapError(
    attempt(path, "input", () => readFile(path, "utf8")),
    () => new CollabError({ subject: root, problem: "is no bundle: it has no bundle.json" }),
  )
  const manifest = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(Manifest))(text),
    ({ message }) => new CollabError({ subject: path, problem: message.replaceAll(/\s*\n\s*/g, " ") }),
  )
  yield* checkOthers(root, manifest)
  for (const [name, digest] of Object.entries(manifest.files)) {
    if (name.split(/[/\\]/).includes("..") || name.startsWith("/")) {
      return yield* new CollabError({ subject: path, problem: `"${name}" lies outside of the bundle` })
    }
    const found = yield* Effect.mapError(
      Digest.ofFile(join(root, name)),
      () => new CollabError({ subject: root, problem: `${name} is missing` }),
    )
    if (found !== digest) {
      const problem = `${name} is not what was packed: sha256 ${found}, expected ${digest}; pack the bundle again`
      return yield* new CollabError({ subject: root, problem })
    }
  }
  return manifest
})

/** Opens a bundle until the scope closes. */
export const open = Effect.fnUntraced(function* (directory: string) {
  const manifest = yield* read(directory)
  const { cascade, classes, experts, topK } = manifest
  const models = yield* Effect.forEach(experts, ({ name }) =>
    Checkpoint.open(join(resolve(directory), "experts", name)),
  )
  const collaboration = yield* Collaboration.open({
    models,
    specs: experts,
    head: { path: join(resolve(directory), "head.safetensors") },
    classes,
    ...(topK === undefined ? {} : { topK }),
    ...(cascade === undefined ? {} : { cascade }),
  })
  return { manifest, ...collaboration }
})
