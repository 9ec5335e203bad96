/**
 * The merge methods by the name a recipe gives them, and the file of each: the one list of methods there is.
 *
 * To add a method, write its file and add a line here. The files are loaded by `registry.ts` and not by this module,
 * which a pipeline imports to be planned.
 */
export const files = {
  linear: () => import("./Linear.ts"),
  slerp: () => import("./Slerp.ts"),
  nuslerp: () => import("./NuSlerp.ts"),
  multislerp: () => import("./MultiSlerp.ts"),
  karcher: () => import("./Karcher.ts"),
  task_arithmetic: () => import("./TaskArithmetic.ts"),
  ties: () => import("./Ties.ts"),
  dare_linear: () => import("./DareLinear.ts"),
  dare_ties: () => import("./DareTies.ts"),
  breadcrumbs: () => import("./Breadcrumbs.ts"),
  breadcrumbs_ties: () => import("./BreadcrumbsTies.ts"),
  della: () => import("./Della.ts"),
  della_linear: () => import("./DellaLinear.ts"),
  sce: () => import("./Sce.ts"),
  ram: () => import("./Ram.ts"),
  ramplus_tl: () => import("./RamPlus.ts"),
  model_stock: () => import("./ModelStock.ts"),
  nearswap: () => import("./NearSwap.ts"),
  arcee_fusion: () => import("./ArceeFusion.ts"),
  passthrough: () => import("./Passthrough.ts"),
  pcb: () => import("./Pcb.ts"),
  consensus_ta: () => import("./ConsensusTaskArithmetic.ts"),
  fisher: () => import("./Fisher.ts"),
  regmean: () => import("./RegMean.ts"),
  factored: () => import("./Factored.ts"),
  aim: () => import("./Aim.ts"),
  led: () => import("./Led.ts"),
} as const

export type Name = keyof typeof files

/** The names, in the order in which methods are listed. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a literal are its keys
export const names = Object.keys(files) as ReadonlyArray<Name>

/**
 * Versions above 1, as the methods' definitions have them: part of the key of what a method merges, and known without
 * loading any method.
 */
export const versions: Readonly<Partial<Record<Name, number>>> = {}
