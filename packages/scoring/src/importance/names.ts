/** The names of the importance methods, apart from the methods: a command's flag has them without loading any. */

export const names = [
  "revert",
  "add",
  "symmetric",
  "ablate",
  "ablateMean",
  "pathIntegrated",
  "gateGradient",
  "fisher",
  "fisherDiagonal",
  "magnitude",
  "random",
  "layer",
] as const
export type Name = (typeof names)[number]
