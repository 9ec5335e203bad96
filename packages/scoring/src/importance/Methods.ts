/** All importance methods by name. */
import * as Ablate from "./Ablate.ts"
import * as AblateMean from "./AblateMean.ts"
import * as Add from "./Add.ts"
import * as Depth from "./Depth.ts"
import * as Fisher from "./Fisher.ts"
import * as FisherDiagonal from "./FisherDiagonal.ts"
import * as GateGradient from "./GateGradient.ts"
import * as Magnitude from "./Magnitude.ts"
import type { Method } from "./Method.ts"
import type { Name } from "./names.ts"
import * as PathIntegrated from "./PathIntegrated.ts"
import * as Random from "./Random.ts"
import * as Revert from "./Revert.ts"
import * as Symmetric from "./Symmetric.ts"

export const byName: Readonly<Record<Name, Method>> = {
  revert: Revert.method,
  add: Add.method,
  symmetric: Symmetric.method,
  ablate: Ablate.method,
  ablateMean: AblateMean.method,
  pathIntegrated: PathIntegrated.method,
  gateGradient: GateGradient.method,
  fisher: Fisher.method,
  fisherDiagonal: FisherDiagonal.method,
  magnitude: Magnitude.method,
  random: Random.method,
  layer: Depth.method,
}
