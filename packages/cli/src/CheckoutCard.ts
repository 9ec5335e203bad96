/**
 * The card of a checkpoint that a pipeline made, written beside it when it is checked out: what it was made of, by which
 * stages with which parameters, and how to make it again. All of it is what the store recorded.
 */
import { type Action, type Content, Lineage, RunLog } from "@hila/core"
import * as Effect from "effect/Effect"
import { createRequire } from "node:module"
import { basename } from "node:path"

const { version }: { readonly version: string } = createRequire(import.meta.url)("../package.json")

/** A text as one cell of a Markdown table. */
const cell = (text: string): string =>
  [...text]
    .map((character) => (/\p{Cc}/u.test(character) ? " " : character === "|" ? "\\|" : character))
    .join("")

const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map(() => "---"), ...rows.map((row) => row.map(cell))]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n")

/** The records behind an origin, what made it first, and the sources at their ends; each once. */
const partsOf = (start: Lineage.Origin) => {
  const steps = new Map<string, Action.Action>()
  const sources = new Map<string, string>()
  const visited = new Set<Lineage.Origin>()
  const visit = (origin: Lineage.Origin): void => {
    if (visited.has(origin)) return
    visited.add(origin)
    const { action, digest, paths } = origin
    if (action !== undefined) steps.set(action.key, action)
    // Where it lay is no name outside of this machine.
    else sources.set(digest, paths[0] === undefined ? "a value of the pipeline" : basename(paths[0]))
    for (const { origin: before } of origin.inputs) visit(before)
  }
  visit(start)
  return { steps: [...steps.values()], sources: [...sources] }
}

/** The command that makes a record again, if a run that made or used it is still known. */
const commandOf = Effect.fnUntraced(function* (key: string, output: string) {
  const used = (yield* RunLog.all).findLast(({ nodes }) => nodes.some((node) => node.key === key))
  if (used?.file === undefined) return undefined
  const set = Object.entries(used.set).map(([name, value]) => ` --set ${quoted(`${name}=${value}`)}`)
  return `hila run ${quoted(used.file)} ${output}${set.join("")}`
})

const quoted = (text: string): string =>
  /^[\w./=@:,-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`

/** Whether content is a checkpoint that transformers would open. */
export const isCheckpoint = (content: Content.Content): content is Content.DirectoryContent =>
  content._tag === "Directory" &&
  Object.hasOwn(content.files, "config.json") &&
  Object.keys(content.files).some((name) => name.endsWith(".safetensors"))

/** The card of a checkpoint that is an output of a pipeline, as text; a card of an input is not its own. */
export const of = Effect.fnUntraced(function* (
  pipeline: string,
  output: string,
  action: Action.Action,
  content: Content.DirectoryContent,
) {
  const { digest, key, summary } = action
  const origin = yield* Lineage.of(digest)
  const { sources, steps } = partsOf(origin ?? { digest, action, paths: [], inputs: [] })
  const { TrainedOn } = yield* Effect.promise(() => import("@hila/merge"))
  const before = content.files["README.md"]
  const trainedOn = yield* TrainedOn.of([{ files: before === undefined ? {} : { "README.md": before.path } }])
  const command = yield* commandOf(key, output)
  // JSON is YAML.
  const matter = Object.entries({
    library_name: "transformers",
    tags: ["merge", "hila"],
    ...(trainedOn.length === 0 ? {} : { trainedOn }),
    hila: {
      versions: { hila: version },
      output: `${pipeline}/${output}`,
      sha256: digest,
      sources: sources.map(([sha256, name]) => ({ name, sha256 })),
    },
  }).map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
  const stages = steps.map(({ digest: made, ingredients, label, summary: told }) => [
    label === undefined ? ingredients.stage : `${ingredients.stage} ${label}`,
    String(ingredients.version),
    Object.entries(ingredients.params)
      .map(([name, value]) => `${name} ${JSON.stringify(value)}`)
      .join(", "),
    told,
    made,
  ])
  return [
    `---\n${matter.join("\n")}\n---`,
    `# ${pipeline}/${output}`,
    `${summary}. Made by a pipeline of Hila ${version} from ${sources.length} sources in ${steps.length} stages.`,
    ...(command === undefined ? [] : [`\`\`\`sh\n${command}\n\`\`\``]),
    "## Sources",
    table(
      ["what", "sha256"],
      sources.map(([sha256, name]) => [name, sha256]),
    ),
    "## Stages",
    "The last first; each with its parameters, what it made, and the sha256 of that.",
    table(["stage", "version", "parameters", "result", "sha256"], stages),
    "",
  ].join("\n\n")
})
