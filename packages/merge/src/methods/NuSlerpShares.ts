/** The shares of two vectors in NuSlerp (see there). */
import { at } from "@hila/core/Lookup"
import * as Gram from "./Gram.ts"

export interface Params {
  readonly weight: ReadonlyArray<number>
  readonly nuslerp_row_wise: boolean
  readonly nuslerp_flatten: boolean
}

/** The shares of two vectors by their inner products. */
export const shares = (gram: Gram.Gram, weight: ReadonlyArray<number>): readonly [number, number] => {
  const total = at(weight, 0) + at(weight, 1)
  const t = Math.abs(total) < 1e-6 ? 0.5 : at(weight, 1) / total
  const angle = Math.acos(Gram.cosine(gram, 0, 1))
  return Math.abs(Math.sin(angle)) < 1e-8
    ? [1 - t, t]
    : [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)]
}
