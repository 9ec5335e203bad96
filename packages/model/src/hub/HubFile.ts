/**
 * Single files of the Hub, of data sets and of models: as sources of pipelines, and wherever a command takes a file.
 *
 * They are named as the Hub's own tools name them, `hf://datasets/org/name@revision/path` or `hf://org/name@revision/path`,
 * and lie in the cache that those tools share. As in `Hub`, a revision is pinned to a commit, what enters keys is the
 * content, and a large file is fetched when a stage that has to run reads it.
 */
import { type Artifact, ArtifactError, type Node, Source, SourceError } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Repository from "./Repository.ts"
import { HubError } from "../ModelError.ts"

const scheme = "hf://"
const segment = "[A-Za-z0-9_][A-Za-z0-9_.-]*"
/** The revisions that the Hub makes itself have slashes; those of other names are written %2F. */
const revision = "refs/convert/[A-Za-z0-9_]+|refs/pr/[0-9]+|[A-Za-z0-9_][A-Za-z0-9_.%-]*"
const pattern = new RegExp(
  `^((?:datasets/|(?!(?:datasets|spaces|buckets|kernels)/))${segment}/${segment})(?:@(${revision}))?/(.+)$`,
)

/** Whether a text names a file of the Hub; else it is a path. */
export const isName = (text: string): boolean => text.startsWith(scheme)

const find = Effect.fnUntraced(function* (text: string) {
  const source = text.slice(scheme.length)
  const [, repo, given = "main", path = ""] = pattern.exec(source) ?? []
  const at = given.replaceAll(/%2f/gi, "/")
  if (repo === undefined || /%|\.\.|\/$/.test(at)) {
    const problem =
      "not the name of a file: expected hf://datasets/org/name@revision/path, or without datasets/ for one of a model"
    return yield* new HubError({ source, problem, blame: "input" })
  }
  return yield* Repository.file({ repo, revision: at }, path)
})

/**
 * The path of a file by its name on the Hub or its path: one of the Hub is fetched where it is not in the cache yet.
 */
export const open = Effect.fnUntraced(function* (text: string): Effect.fn.Return<string, HubError> {
  if (!isName(text)) return text
  const { commit, file } = yield* find(text)
  return yield* Repository.fetch(commit, file)
})

/** A file by its name on the Hub or its path, as the leaf of a pipeline that is read as `artifact`. */
export const source = <A>(text: string, artifact: Artifact.Artifact<A>): Node.SourceNode<A> => {
  if (!isName(text)) return Source.file(text, artifact)
  const fetching: Artifact.Artifact<A> = {
    ...artifact,
    decode: (content) =>
      open(text).pipe(
        Effect.mapError(
          (error) =>
            new ArtifactError({
              artifact: artifact.id,
              path: error.source,
              problem: error.problem,
              blame: error.blame,
            }),
        ),
        Effect.andThen(artifact.decode(content)),
      ),
  }
  const content = Effect.flatMap(find(text), ({ commit, file }) => Repository.content(commit, file))
  return Object.freeze({
    kind: "source",
    artifact: fetching,
    label: text.slice(scheme.length),
    resolve: () =>
      Effect.mapError(
        content,
        ({ blame, problem, source }) => new SourceError({ path: source, problem, blame }),
      ),
  })
}
