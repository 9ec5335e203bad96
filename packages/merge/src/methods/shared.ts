/** Parameters that several methods share. */
import type { Default, Parameter } from "./Parameters.ts"

export const weight = {
  level: "model",
  kind: "number",
  description: "the model's share; any finite number",
} as const

export const normalize = <const B extends boolean>(value: B) =>
  ({
    level: "merge",
    kind: "boolean",
    default: value,
    description: "divide by the sum of the weights",
  }) as const

export const lambda = {
  level: "merge",
  kind: "number",
  default: 1,
  description: "factor of the merged task vector",
} as const

export const int8Mask = {
  level: "merge",
  kind: "boolean",
  default: false,
  ignored: "signs are compared without temporaries, so there is no mask whose dtype could be chosen",
  description: "accepted for old recipes",
} as const

export const density = {
  level: "model",
  kind: "number",
  default: 1,
  range: [0, 1],
  description: "share of the task vector's elements that stay",
} as const

export const scope = {
  level: "merge",
  kind: ["tensor", "global"],
  default: { tool: "tensor", paper: "global" },
  description: "whether the largest elements are sought in each tensor or in the whole model",
} as const

export const elect = {
  level: "merge",
  kind: ["weighted", "unweighted"],
  default: { tool: "weighted", paper: "unweighted" },
  description: "whether weights multiply before signs are elected",
} as const

/** How what is left of a task vector is scaled up; `true` means `on`. */
export const rescale = <const Words extends ReadonlyArray<string>>(
  standard: Default,
  on: Default,
  words: Words,
) =>
  ({
    level: "merge",
    kind: words,
    default: standard,
    flags: { true: on, false: "none" },
    description: "scale what stays: l1 to the norm before, probability by 1/p, none",
  }) as const

/** Keys that the tool accepts for every task-vector method, where this one has no use for them. */
export const unused = <const P extends Parameter>(parameter: P, ignored: string) =>
  ({ ...parameter, ignored }) as const
