/** The methods by the name a recipe gives them. To add one: its file, its name in `names.ts`, a line here. */
import { definition as arcee_fusion } from "./ArceeFusion.ts"
import { definition as breadcrumbs } from "./Breadcrumbs.ts"
import { definition as breadcrumbs_ties } from "./BreadcrumbsTies.ts"
import { definition as dare_linear } from "./DareLinear.ts"
import { definition as dare_ties } from "./DareTies.ts"
import { definition as consensus_ta } from "./ConsensusTaskArithmetic.ts"
import type { Definition } from "./Definition.ts"
import { definition as della } from "./Della.ts"
import { definition as della_linear } from "./DellaLinear.ts"
import { definition as fisher } from "./Fisher.ts"
import { definition as regmean } from "./RegMean.ts"
import { definition as factored } from "./Factored.ts"
import { definition as aim } from "./Aim.ts"
import { definition as led } from "./Led.ts"
import { definition as karcher } from "./Karcher.ts"
import { definition as linear } from "./Linear.ts"
import { definition as model_stock } from "./ModelStock.ts"
import { definition as multislerp } from "./MultiSlerp.ts"
import type { Name } from "./names.ts"
import { definition as nearswap } from "./NearSwap.ts"
import { definition as nuslerp } from "./NuSlerp.ts"
import { definition as passthrough } from "./Passthrough.ts"
import { definition as pcb } from "./Pcb.ts"
import { definition as ram } from "./Ram.ts"
import { definition as ramplus_tl } from "./RamPlus.ts"
import { definition as sce } from "./Sce.ts"
import { definition as slerp } from "./Slerp.ts"
import { definition as task_arithmetic } from "./TaskArithmetic.ts"
import { definition as ties } from "./Ties.ts"

/** Every method. */
export const definitions: Readonly<Record<Name, Definition>> = {
  linear,
  slerp,
  nuslerp,
  multislerp,
  karcher,
  task_arithmetic,
  ties,
  dare_linear,
  dare_ties,
  breadcrumbs,
  breadcrumbs_ties,
  della,
  della_linear,
  sce,
  ram,
  ramplus_tl,
  model_stock,
  nearswap,
  arcee_fusion,
  passthrough,
  pcb,
  consensus_ta,
  fisher,
  regmean,
  factored,
  aim,
  led,
}
