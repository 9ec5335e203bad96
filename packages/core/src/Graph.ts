/** Graphs: a pipeline as a picture, in the languages of Mermaid and of Graphviz. */
import * as Node from "./Node.ts"

const quote = (text: string): string => text.replaceAll('"', "#quot;")

/**
 * The Mermaid flow chart of some outputs: sources as rounded boxes, stages with their versions, edges by slot.
 *
 * @example
 * Graph.mermaid({}) // => "flowchart LR"
 */
export const mermaid = (outputs: Readonly<Record<string, Node.AnyNode>>): string => {
  const nodes = Node.order(Object.values(outputs))
  const id = (node: Node.AnyNode) => `n${nodes.indexOf(node)}`
  const boxes = nodes.map((node) =>
    node.kind === "source"
      ? `  ${id(node)}(["${quote(Node.title(node))}"])`
      : `  ${id(node)}["${quote(Node.title(node))} · v${node.stage.version}"]`,
  )
  const edges = nodes.flatMap((node) =>
    node.kind === "source"
      ? []
      : Object.entries(node.inputs).flatMap(([slot, input]) =>
          [input].flat().map((from: Node.AnyNode) => `  ${id(from)} -->|${slot}| ${id(node)}`),
        ),
  )
  // An id is a word; what an output is called may be anything.
  const ends = Object.entries(outputs).map(
    ([name, node], index) =>
      `  ${id(node)} --> ${/^\w+$/.test(name) ? `out_${name}` : `out${index}`}(("${quote(name)}"))`,
  )
  return ["flowchart LR", ...boxes, ...edges, ...ends].join("\n")
}

const dotQuote = (text: string): string => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`

/**
 * The same picture for Graphviz: `hila graph --dot | dot -Tsvg`.
 *
 * @example
 * Graph.dot({}) // => "digraph pipeline {\n  rankdir=LR\n}"
 */
export const dot = (outputs: Readonly<Record<string, Node.AnyNode>>): string => {
  const nodes = Node.order(Object.values(outputs))
  const id = (node: Node.AnyNode) => `n${nodes.indexOf(node)}`
  const boxes = nodes.map((node) =>
    node.kind === "source"
      ? `  ${id(node)} [shape=box, style=rounded, label=${dotQuote(Node.title(node))}]`
      : `  ${id(node)} [shape=box, label=${dotQuote(`${Node.title(node)} · v${node.stage.version}`)}]`,
  )
  const edges = nodes.flatMap((node) =>
    node.kind === "source"
      ? []
      : Object.entries(node.inputs).flatMap(([slot, input]) =>
          [input]
            .flat()
            .map((from: Node.AnyNode) => `  ${id(from)} -> ${id(node)} [label=${dotQuote(slot)}]`),
        ),
  )
  const ends = Object.entries(outputs).flatMap(([name, node]) => [
    `  ${dotQuote(`out ${name}`)} [shape=circle, label=${dotQuote(name)}]`,
    `  ${id(node)} -> ${dotQuote(`out ${name}`)}`,
  ])
  return ["digraph pipeline {", "  rankdir=LR", ...boxes, ...edges, ...ends, "}"].join("\n")
}
