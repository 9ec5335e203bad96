/** The merge methods by the name a recipe gives them. */
export const names = [
  "linear",
  "slerp",
  "nuslerp",
  "multislerp",
  "karcher",
  "task_arithmetic",
  "ties",
  "dare_linear",
  "dare_ties",
  "breadcrumbs",
  "breadcrumbs_ties",
  "della",
  "della_linear",
  "sce",
  "ram",
  "ramplus_tl",
  "model_stock",
  "nearswap",
  "arcee_fusion",
  "passthrough",
  "pcb",
  "consensus_ta",
] as const

export type Name = (typeof names)[number]
