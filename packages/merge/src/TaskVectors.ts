/**
 * The sum of task vectors as the engine's work on one tensor: what task arithmetic and fusion have in common.
 */
import type { TensorPlan } from "./engine/Plan.ts"
import { untyped } from "./methods/Definition.ts"
import { method } from "./methods/TaskArithmetic.ts"
import { method as ties } from "./methods/Ties.ts"
import type { PlannedTensor } from "./Preflight.ts"

/**
 * W_0 + λ Σ_t w_t (W_t − W_0) for a tensor whose inputs are the base and the experts.
 *
 * `parts` gives, by rows or columns, further factors of the task vectors, and their masks. Integers are the base's.
 */
export const sum = (
  { dtype, info: { name, shape, ...info }, inputs: [base, ...models] }: PlannedTensor,
  weight: ReadonlyArray<number>,
  lambda: number,
  parts: Pick<TensorPlan, "masks" | "units"> = {},
): TensorPlan =>
  dtype === undefined || base === undefined
    ? { name, dtype: info.dtype, shape, models: base === undefined ? [] : [base] }
    : {
        name,
        dtype,
        shape,
        method: untyped(method),
        params: { weight, lambda, normalize: false },
        base,
        models,
        ...parts,
      }

/** The same sum of what agrees in sign with it, by position. */
export const agreeing = (
  tensor: PlannedTensor,
  weight: ReadonlyArray<number>,
  lambda: number,
  parts: Pick<TensorPlan, "masks" | "units"> = {},
): TensorPlan => {
  const plan = sum(tensor, weight, lambda, parts)
  if (plan.method === undefined) return plan
  const all = { weight, lambda, normalize: false, density: weight.map(() => 1), rescale: "none" }
  const params = { ...all, scope: "tensor", elect: "weighted", zero_vote: "positive" }
  return { ...plan, method: untyped(ties), params }
}
