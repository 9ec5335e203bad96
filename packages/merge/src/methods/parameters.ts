/** Parameters that several methods share. */
import type { Default, Parameter } from "./Definition.ts"

export const weight: Parameter = {
  level: "model",
  kind: "number",
  description: "the model's share; any finite number",
}

export const normalize = (value: boolean): Parameter => ({
  level: "merge",
  kind: "boolean",
  default: value,
  description: "divide by the sum of the weights",
})

export const lambda: Parameter = {
  level: "merge",
  kind: "number",
  default: 1,
  description: "factor of the merged task vector",
}

export const int8Mask: Parameter = {
  level: "merge",
  kind: "boolean",
  default: false,
  ignored: "signs are compared without temporaries, so there is no mask whose dtype could be chosen",
  description: "accepted for old recipes",
}

export const density: Parameter = {
  level: "model",
  kind: "number",
  default: 1,
  range: [0, 1],
  description: "share of the task vector's elements that stay",
}

export const scope: Parameter = {
  level: "merge",
  kind: ["tensor", "global"],
  default: { tool: "tensor", paper: "global" },
  description: "whether the largest elements are sought in each tensor or in the whole model",
}

export const elect: Parameter = {
  level: "merge",
  kind: ["weighted", "unweighted"],
  default: { tool: "weighted", paper: "unweighted" },
  description: "whether weights multiply before signs are elected",
}

/** How what is left of a task vector is scaled up; `true` means `on`. */
export const rescale = (standard: Default, on: Default, words: ReadonlyArray<string>): Parameter => ({
  level: "merge",
  kind: words,
  default: standard,
  flags: { true: on, false: "none" },
  description: "scale what stays: l1 to the norm before, probability by 1/p, none",
})

/** Keys that the tool accepts for every task-vector method, where this one has no use for them. */
export const unused = (parameter: Parameter, ignored: string): Parameter => ({ ...parameter, ignored })
