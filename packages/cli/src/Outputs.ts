/** Outputs of a run, as the command prints them: for people by their artifact's `show`, for programs as JSON. */
import type { Node } from "@hila/core"

type Nodes = Readonly<Record<string, Node.AnyNode>>
type Values = Readonly<Record<string, unknown>>

const artifactOf = (node: Node.AnyNode) => (node.kind === "source" ? node.artifact : node.stage.output)

/** Numbers about the making of outputs, by output. */
type Measured = Readonly<Record<string, Readonly<Record<string, number>> | undefined>>

/** Every output under its name; what takes several lines gets them below it. */
export const show = (nodes: Nodes, values: Values, measured: Measured): string =>
  Object.entries(nodes)
    .map(([name, node]) => {
      const shown = artifactOf(node).show(values[name], measured[name])
      return shown.includes("\n") ? `\n${name}\n${shown}` : `${name}: ${shown}`
    })
    .join("\n")

/** Every output's artifact and summary; with files' values as JSON, and for directories where their files lie. */
export const toJson = (nodes: Nodes, values: Values): string =>
  JSON.stringify({
    _tag: "Outputs",
    outputs: Object.fromEntries(
      Object.entries(nodes).map(([name, node]) => {
        const artifact = artifactOf(node)
        const value = values[name]
        return [
          name,
          {
            artifact: artifact.id,
            summary: artifact.summary(value),
            ...(artifact.kind === "file" ? { value } : filesOf(value)),
          },
        ]
      }),
    ),
  })

const filesOf = (value: unknown): object =>
  typeof value === "object" && value !== null && "files" in value ? { files: value.files } : {}
