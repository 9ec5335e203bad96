/**
 * Leaves out of a graph what its outputs do not need: nodes, and the weights that only they read.
 *
 * Inputs stay, so that a part of a model is fed as the whole is. Runtimes need not drop dead nodes by themselves.
 */
import type { Graph, Value } from "./Graph.ts"

/** The same graph without what no output depends on. */
export const pruned = (graph: Graph): Graph => {
  const needed = new Set<Value>(graph.outputs)
  const kept = graph.nodes.toReversed().filter(({ inputs, outputs }) => {
    if (!outputs.some((output) => needed.has(output))) return false
    for (const input of inputs) needed.add(input)
    return true
  })
  const initializers = graph.initializers.filter(({ value }) => needed.has(value))
  return { ...graph, nodes: kept.toReversed(), initializers }
}
