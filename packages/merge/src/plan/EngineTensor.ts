/** Planned tensors as the engine wants them. */
import { at } from "@hila/core/Lookup"
import type { TensorPlan } from "../engine/Plan.ts"
import { definitions } from "../methods/registry.ts"
import type { OutputTensor } from "./Plan.ts"

/** A tensor as the engine wants it. */
export const of = (tensor: OutputTensor): TensorPlan => {
  const { base, dtype, masks, method, models, name, shape, solved, statistics, units, values } = tensor
  const spec = { name, dtype, shape }
  if (solved !== undefined) {
    const params = { scale: [1] }
    return { ...spec, method: definitions.passthrough.method(params), params, models: [solved] }
  }
  // A sum without coefficients is one sweep, so an empty list is as good as none.
  const coefficients = units.length === 0 ? undefined : units
  return method === undefined
    ? { ...spec, models: [base ?? at(models, 0)] }
    : {
        ...spec,
        method: definitions[method].method(values),
        params: values,
        base,
        models,
        masks,
        units: coefficients,
        extras: statistics.elements,
      }
}
