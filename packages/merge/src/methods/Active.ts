/** When RAM counts an element as changed. */

export const epsilon = {
  level: "merge",
  kind: "number",
  default: 1e-5,
  range: [0, Infinity],
  description: "difference to the base up to which an element counts as unchanged",
} as const

/** A difference above `least`; one that is no number counts, so that it is refused and not hidden. */
export const isActive = (delta: number, least: number): boolean => !(Math.abs(delta) <= least)
