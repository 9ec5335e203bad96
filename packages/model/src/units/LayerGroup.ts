/**
 * Groups of tensors by layer: what methods that weigh layers rather than heads give one number to.
 */

/**
 * The group a tensor belongs to: its name up to the first number (`model.layers.7`), or its whole name where it has
 * none (`model.norm.weight`).
 */
export const of = (tensor: string): string => /^.*?\.\d+(?=\.)/.exec(tensor)?.[0] ?? tensor
