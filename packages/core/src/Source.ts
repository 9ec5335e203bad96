/**
 * Sources: the pinned leaves of a pipeline.
 *
 * A file or a directory of the user's is known by its content; where it lies and when it was touched do not matter.
 * A value written in the pipeline is known by its encoded bytes. Strings are relative to the working directory, URLs
 * are absolute: `new URL("../fixtures/micro/base", import.meta.url)` is relative to the pipeline's own file.
 */
import { basename, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import type * as Artifact from "./Artifact.ts"
import type * as Node from "./Node.ts"

const absolute = (path: string | URL): string =>
  typeof path === "string" ? resolve(path) : fileURLToPath(path)

/** A file of the user's, read as `artifact`. */
export const file = <A>(path: string | URL, artifact: Artifact.Artifact<A>): Node.SourceNode<A> => {
  const at = absolute(path)
  return Object.freeze({
    kind: "source",
    artifact,
    label: basename(at),
    resolve: (tools: Node.SourceTools) => tools.file(at),
  })
}

/** A directory of the user's, all files below it, read as `artifact`. */
export const directory = <A>(path: string | URL, artifact: Artifact.Artifact<A>): Node.SourceNode<A> => {
  const at = absolute(path)
  return Object.freeze({
    kind: "source",
    artifact,
    label: basename(at),
    resolve: (tools: Node.SourceTools) => tools.directory(at),
  })
}

/**
 * A value of the pipeline's own.
 *
 * @example
 * Source.value(Artifact.json("prompts", Schema.Array(Schema.String)), ["2+2="]).label // => "prompts"
 */
export const value = <A>(artifact: Artifact.Artifact<A>, a: A, label?: string): Node.SourceNode<A> =>
  Object.freeze({
    kind: "source",
    artifact,
    label: label ?? artifact.id,
    resolve: (tools: Node.SourceTools) => tools.keep(artifact, a),
  })
