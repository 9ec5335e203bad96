/**
 * What the engine is asked to write: the tensors of the output, each with its method and where its inputs lie.
 *
 * The engine checks nothing but that inputs have the output's number of elements; shapes, names and parameters are
 * checked before, where they can be named in the user's words.
 */
import { known } from "@hila/core/Lookup"
import { Dtype, type Safetensors, type SafetensorsWriter } from "@hila/model"
import * as Layout from "./Layout.ts"
import type { AnyMethod, Task, UnitSpan } from "./Method.ts"

/** A tensor of the output. */
export interface TensorPlan extends SafetensorsWriter.TensorSpec {
  /** Absent: the bytes of the first model are copied, whatever their dtype. */
  readonly method?: AnyMethod | undefined
  /** Plain data for the method. */
  readonly params?: unknown
  readonly base?: Safetensors.TensorInfo | undefined
  readonly models: ReadonlyArray<Safetensors.TensorInfo>
  /** Further float tensors of the same shape, for methods that use statistics. */
  readonly extras?: ReadonlyArray<Safetensors.TensorInfo> | undefined
  /** A bit mask per model, or none for some; see `Mask`. */
  readonly masks?: ReadonlyArray<Safetensors.TensorInfo | undefined> | undefined
  readonly units?: ReadonlyArray<UnitSpan> | undefined
  /** Written as a bit mask of where the result is not 0, not as values; see `Mask`. */
  readonly bits?: boolean | undefined
}

/** A tensor to merge: a `TensorPlan` with a method and float dtypes. */
export interface Merged extends TensorPlan {
  readonly method: AnyMethod
  readonly dtype: Dtype.FloatDtype
}

/** Whether a tensor is merged, not copied. */
export const isMerged = (plan: TensorPlan): plan is Merged =>
  plan.method !== undefined && Dtype.isFloat(plan.dtype)

/** Tensors that reduce together: one, or those that a method's `group` joins. */
export interface Group {
  readonly tensors: readonly [Merged, ...ReadonlyArray<Merged>]
  readonly tasks: ReadonlyArray<Task>
}

/** The groups of a merge, in the order of their first tensors. */
export const groups = (tensors: ReadonlyArray<TensorPlan>): ReadonlyArray<Group> => {
  const joined = new Map<string, Array<Merged>>()
  for (const tensor of tensors) {
    if (!isMerged(tensor)) continue
    const group = tensor.method.group?.(tensor.params)
    const key = group === undefined ? `tensor ${tensor.name}` : `group ${tensor.method.name} ${group}`
    const members = joined.get(key)
    if (members === undefined) joined.set(key, [tensor])
    else members.push(tensor)
  }
  return [...joined.values()].map(([first, ...rest]) => {
    const members = [known(first), ...rest] as const
    const elements = members.reduce((sum, { shape }) => sum + Layout.elementsOf(shape), 0)
    return { tensors: members, tasks: members.map((tensor) => taskOf(tensor, elements)) }
  })
}

const taskOf = ({ base, models, name, params, shape, units }: Merged, elements: number): Task => ({
  tensor: name,
  shape,
  elements,
  hasBase: base !== undefined,
  models: models.length,
  params,
  ...(units === undefined ? {} : { units }),
})
