/** Methods whose result is a combination of the inputs with coefficients found in a pass over the tensor. */
import { at } from "@hila/core/Lookup"
import type { Block, Method, Task } from "../engine/Method.ts"
import * as TaskVector from "../engine/TaskVector.ts"
import type { Kernels } from "../kernels/Kernels.ts"
import * as Gram from "./Gram.ts"

/** Coefficients of the vectors. */
export type State = ReadonlyArray<number>

/** The vectors a method works on: the models or, with a base, their task vectors. */
export const vectors = (kernels: Kernels, block: Block, task: Task): ReadonlyArray<Float32Array> =>
  task.hasBase ? TaskVector.weighted(kernels, block, task) : block.models

/** `out = Σ c v`, on top of the base where the vectors are task vectors. */
export const combine = (
  kernels: Kernels,
  block: Block,
  task: Task,
  inputs: ReadonlyArray<Float32Array>,
  coefficients: ReadonlyArray<number>,
): void => {
  for (const [index, values] of inputs.entries())
    kernels.addScaled(block.out, values, at(coefficients, index))
  if (task.hasBase) kernels.applyTo(block.out, block.base, 1)
}

/** A method that finds one coefficient per model from the inner products of the whole tensors. */
export const make = <P>(
  name: string,
  module: string,
  coefficients: (gram: Gram.Gram, task: Task<P>) => State,
): Method<P, State> => ({
  name,
  module,
  start: () => [],
  passes: ({ models }) => [Gram.pass<P, State, undefined>(models, vectors, coefficients)],
  carry: () => undefined,
  combine: (kernels, block, task, state) =>
    combine(kernels, block, task, vectors(kernels, block, task), state),
  sum: ({ hasBase }, state) => ({ weights: state, divisor: 1, ...(hasBase ? { lambda: 1 } : {}) }),
})
