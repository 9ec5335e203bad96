/** What an adapter does to one tensor of its model: a product is added, a bias is, or another tensor takes its place. */
import type * as Values from "../engine/Values.ts"

/** W + scale · B A, or its transpose where the model stores W as [in, out]. */
export interface Product {
  readonly a: Values.FloatTensor // [rank, in]
  readonly b: Values.FloatTensor // [out, rank]
  readonly scale: number
  readonly transposed: boolean
}

/** b + scale · (the bias of lora_B). */
export interface Shift {
  readonly by: Values.FloatTensor // [out]
  readonly scale: number
}

/** The parts of a change; `whole` takes the tensor's place before anything is added. */
export interface Change {
  readonly whole?: Values.FloatTensor
  readonly product?: Product
  readonly shift?: Shift
}
