/** All importance methods by name. */
import * as Ablate from "./Ablate.ts"
import * as Add from "./Add.ts"
import * as Depth from "./Depth.ts"
import * as Magnitude from "./Magnitude.ts"
import type { Method } from "./Method.ts"
import * as Random from "./Random.ts"
import * as Revert from "./Revert.ts"
import * as Symmetric from "./Symmetric.ts"

export const names = ["revert", "add", "symmetric", "ablate", "magnitude", "random", "layer"] as const
export type Name = (typeof names)[number]

export const byName: Readonly<Record<Name, Method>> = {
  revert: Revert.method,
  add: Add.method,
  symmetric: Symmetric.method,
  ablate: Ablate.method,
  magnitude: Magnitude.method,
  random: Random.method,
  layer: Depth.method,
}
