/**
 * Artifacts: codecs between the typed values stages exchange and the bytes the store keeps.
 *
 * An artifact owns how a value is written, read and described. Large artifacts decode to a handle (paths and lazy
 * reads), never to bytes. Two artifacts of one TypeScript type can stand for each other: brand the schema where they
 * must not.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import * as Canonical from "./Canonical.ts"
import * as Content from "./Content.ts"
import { ArtifactError } from "./CoreError.ts"
import { Disk } from "./Disk.ts"
import type { Figure } from "./Figure.ts"
import { describe } from "./internal/systemError.ts"

/** A codec with an identity; `id` is part of every cache key that has this artifact as output. */
export interface Artifact<in out A> {
  readonly id: string
  readonly kind: "file" | "directory"
  /** Writes a value as a new file or directory at `path`. */
  readonly encode: (value: A, path: string) => Effect.Effect<void, ArtifactError>
  /** Reads a value, or a handle to it, from content. */
  readonly decode: (content: Content.Content) => Effect.Effect<A, ArtifactError>
  /** One line about a value, for plans and reports. */
  readonly summary: (value: A) => string
  /** What `hila run` prints when the value is an output of the pipeline, with what `Stage.measure` told of its making. */
  readonly show: (value: A, measured?: Measured) => string
  /** Numbers about a value that are worth comparing between runs, by name. */
  readonly metrics: (value: A) => Readonly<Record<string, number>>
  /** Tables and pictures of a value, for the page of a run. */
  readonly figures: (value: A, measured?: Measured) => ReadonlyArray<Figure>
}

/** Numbers about the making of a value, by name. */
export type Measured = Readonly<Record<string, number>>

/** The type of an artifact's values. */
export type Value<X> = X extends Artifact<infer A> ? A : never

/**
 * How a value is described; `show` defaults to `summary`, `metrics` to the numbers that are plain to see, `figures` to
 * none.
 */
export interface Describe<A> {
  readonly summary?: (value: A) => string
  readonly show?: (value: A, measured?: Measured) => string
  readonly metrics?: (value: A) => Readonly<Record<string, number>>
  readonly figures?: (value: A, measured?: Measured) => ReadonlyArray<Figure>
}

/** An artifact from its parts; `show` defaults to `summary`, `metrics` to those of a number or of numeric fields. */
export const make = <A>(
  options: Omit<Artifact<A>, "show" | "metrics" | "figures"> & Omit<Describe<A>, "summary">,
): Artifact<A> =>
  Object.freeze({
    ...options,
    show: options.show ?? options.summary,
    metrics: options.metrics ?? ((value) => plainMetrics(options.id, value)),
    figures: options.figures ?? (() => []),
  })

/** A number under the artifact's id, or the finite numbers among an object's own fields. */
const plainMetrics = (id: string, value: unknown): Readonly<Record<string, number>> => {
  if (typeof value === "number") return Number.isFinite(value) ? { [id]: value } : {}
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {}
  const numbers = Object.entries(value).filter(
    (entry): entry is [string, number] => typeof entry[1] === "number" && Number.isFinite(entry[1]),
  )
  return Object.fromEntries(numbers)
}

/** Runs a file-system call for an artifact, turning what it throws into one line. */
const attempt = <A>(
  artifact: string,
  path: string,
  blame: "input" | "system",
  call: (disk: Disk) => Promise<A>,
) =>
  Effect.flatMap(Disk, (disk) =>
    Effect.tryPromise({
      try: () => call(disk),
      catch: (cause) => new ArtifactError({ artifact, path, problem: describe(cause), blame }),
    }),
  )

const fileOf = (id: string, content: Content.Content) =>
  content._tag === "File"
    ? Effect.succeed(content)
    : Effect.fail(
        new ArtifactError({
          artifact: id,
          path: id,
          problem: "expected a file, got a directory",
          blame: "input",
        }),
      )

/** Schema codec to and from text by way of a JSON value; problems come back as one line. */
const textCodec = <A>(id: string, schema: Schema.ConstraintCodec<A, unknown>) => {
  const codec = Schema.toCodecJson(schema)
  const encode = Schema.encodeUnknownEffect(codec)
  const decode = Schema.decodeUnknownEffect(codec)
  const fail = (path: string, blame: "input" | "system") => (cause: { readonly message: string }) =>
    new ArtifactError({ artifact: id, path, problem: cause.message.replaceAll(/\s*\n\s*/g, " "), blame })
  return {
    encode: (value: A, path: string) =>
      Effect.map(Effect.mapError(encode(value), fail(path, "system")), Canonical.stringify),
    decode: (text: string, path: string): Effect.Effect<A, ArtifactError> =>
      Effect.try({
        try: (): unknown => JSON.parse(text),
        catch: (cause) => ({ message: describe(cause) }),
      }).pipe(
        Effect.flatMap((json) => decode(json)),
        Effect.mapError(fail(path, "input")),
      ),
  }
}

/**
 * A value stored as canonical JSON, checked by a schema in both directions.
 *
 * @example
 * const Lambda = Artifact.json("lambda", Schema.Finite, { summary: (value) => `λ = ${value}` })
 * Lambda.summary(0.4) // => "λ = 0.4"
 */
export const json = <A>(
  id: string,
  schema: Schema.ConstraintCodec<A, unknown>,
  describeBy: Describe<A> = {},
): Artifact<A> => {
  const codec = textCodec(id, schema)
  return make({
    id,
    kind: "file",
    encode: (value, path) =>
      Effect.flatMap(codec.encode(value, path), (text) =>
        attempt(id, path, "system", (disk) => disk.write(path, `${text}\n`)),
      ),
    decode: (content) =>
      Effect.flatMap(fileOf(id, content), ({ path }) =>
        Effect.flatMap(
          attempt(id, path, "input", () => readFile(path, "utf8")),
          (text) => codec.decode(text, path),
        ),
      ),
    summary: () => id,
    ...describeBy,
  })
}

/** A list stored as one canonical JSON line per element; a problem names the line. */
export const jsonl = <A>(
  id: string,
  element: Schema.ConstraintCodec<A, unknown>,
  describeBy: Describe<ReadonlyArray<A>> = {},
): Artifact<ReadonlyArray<A>> => {
  const codec = textCodec(id, element)
  return make<ReadonlyArray<A>>({
    id,
    kind: "file",
    encode: (values, path) =>
      Effect.forEach(values, (value) => codec.encode(value, path)).pipe(
        Effect.flatMap((lines) =>
          attempt(id, path, "system", (disk) => disk.write(path, lines.map((line) => `${line}\n`).join(""))),
        ),
      ),
    decode: (content) =>
      Effect.flatMap(fileOf(id, content), ({ path }) =>
        Effect.flatMap(
          attempt(id, path, "input", () => readFile(path, "utf8")),
          (text) =>
            Effect.forEach(numberedLines(text), ([line, number]) => codec.decode(line, `${path}:${number}`)),
        ),
      ),
    summary: (values) => `${values.length} ${id}`,
    ...describeBy,
  })
}

/** The lines of a text that are not blank, each with its number from 1. */
const numberedLines = (text: string) =>
  text
    .split("\n")
    .map((line, index) => [line, index + 1] as const)
    .filter(([line]) => line.trim() !== "")

/** A file outside of memory. */
export interface FileHandle {
  readonly path: string
}

/** A file kept as it is; its value is a path. */
export const file = (id: string): Artifact<FileHandle> =>
  make<FileHandle>({
    id,
    kind: "file",
    encode: (value, path) => linkInto(id, value.path, path),
    decode: (content) => fileOf(id, content),
    summary: () => id,
  })

/** A directory outside of memory: relative POSIX name → absolute path. */
export interface DirectoryHandle {
  readonly files: Readonly<Record<string, string>>
}

/** A directory kept as it is; its value is the paths of its files. */
export const directory = (id: string): Artifact<DirectoryHandle> =>
  make<DirectoryHandle>({
    id,
    kind: "directory",
    encode: (value, path) => encodeFiles(id, value.files, path),
    decode: (content) => decodeFiles(id, content),
    summary: (value) => `${Object.keys(value.files).length} files`,
  })

/** Writes files under their relative names into a new directory, by hard link where possible. */
export const encodeFiles = (id: string, files: Readonly<Record<string, string>>, path: string) =>
  Effect.forEach(
    Object.entries(files),
    ([name, from]) => {
      const to = join(path, name)
      return Effect.andThen(
        attempt(id, to, "system", (disk) => disk.makeDirectory(dirname(to))),
        linkInto(id, from, to),
      )
    },
    { discard: true },
  ).pipe(Effect.tap(attempt(id, path, "system", (disk) => disk.makeDirectory(path))))

/** The paths of a directory's files; the inverse of `encodeFiles`. */
export const decodeFiles = (
  id: string,
  content: Content.Content,
): Effect.Effect<DirectoryHandle, ArtifactError> =>
  content._tag === "Directory"
    ? Effect.succeed({
        files: Object.fromEntries(Object.entries(content.files).map(([name, entry]) => [name, entry.path])),
      })
    : Effect.fail(
        new ArtifactError({
          artifact: id,
          path: content.path,
          problem: "expected a directory, got a file",
          blame: "input",
        }),
      )

const linkInto = (id: string, from: string, to: string) =>
  Effect.mapError(
    Content.link(from, to),
    ({ problem }) => new ArtifactError({ artifact: id, path: from, problem, blame: "system" }),
  )
