/**
 * The importance methods by name, and the file of each: the one list of methods there is.
 *
 * To add a method, write its file and add a line here. The files are loaded by `Methods.ts` and not by this module, so
 * that a command's flag has the names without loading any.
 */
export const files = {
  revert: () => import("./Revert.ts"),
  add: () => import("./Add.ts"),
  symmetric: () => import("./Symmetric.ts"),
  ablate: () => import("./Ablate.ts"),
  ablateMean: () => import("./AblateMean.ts"),
  pathIntegrated: () => import("./PathIntegrated.ts"),
  gateGradient: () => import("./GateGradient.ts"),
  fisher: () => import("./Fisher.ts"),
  fisherDiagonal: () => import("./FisherDiagonal.ts"),
  magnitude: () => import("./Magnitude.ts"),
  random: () => import("./Random.ts"),
  layer: () => import("./Depth.ts"),
} as const

export type Name = keyof typeof files

/** The names, in the order in which methods are listed. */
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a literal are its keys
export const names = Object.keys(files) as ReadonlyArray<Name>

/**
 * Versions above 1, as the methods have them: part of the key of what a method measures, and known without loading any
 * method.
 */
export const versions: Readonly<Partial<Record<Name, number>>> = {}
