/**
 * Layer: importance by depth alone, (l + 1) / L for layer l of L. A null: what a method gains by knowing no more than
 * that later layers change behaviour more, the idea of LiNeS (Wang et al. 2024, arXiv 2410.17146).
 */
import { concatenate, withoutData } from "./Parts.ts"
import * as Method from "./Method.ts"

export const method = Method.make({
  name: "layer",
  version: 1,
  summary: "its depth; a null without data",
  sources: [{ text: "Wang et al. 2024", arxiv: "2410.17146" }],
  cost: () => Method.passes(0),
  parts: (task) => {
    const layers = Math.max(0, ...task.units.map(({ layer }) => layer)) + 1
    return withoutData(task, ({ layer }) => (layer + 1) / layers)
  },
  combine: concatenate,
})
