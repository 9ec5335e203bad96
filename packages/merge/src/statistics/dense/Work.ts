/** What a thread that solves equations is given, and what it does with it. */
import { at } from "@hila/core/Lookup"
import type { Factor } from "./Factor.ts"
import * as Kronecker from "./Kronecker.ts"
import * as Regression from "./Regression.ts"

/** The equations of one tensor. */
export type Work =
  | { readonly _tag: "Regression"; readonly job: Regression.RegressionJob }
  | { readonly _tag: "Kronecker"; readonly job: Kronecker.KroneckerJob }

type Form = Pick<Factor, "blocks" | "size">

/** The forms of a tensor's factors, before they are read. */
export type Forms =
  | { readonly _tag: "Regression"; readonly inputs: ReadonlyArray<Form> }
  | {
      readonly _tag: "Kronecker"
      readonly terms: ReadonlyArray<{ readonly left: Form; readonly right: Form }>
    }

/** Bytes of memory to compute in; at most 4 GiB can be had. */
export const workspaceBytes = (rows: number, columns: number, forms: Forms): number =>
  forms._tag === "Regression"
    ? Regression.bytesOf(rows, at(forms.inputs, 0))
    : Kronecker.bytesOf(rows, columns, forms.terms)

/** Solves them; throws a `RangeError` where what comes out is not finite. */
export const run = (work: Work): Regression.Solved => {
  const solved = work._tag === "Regression" ? Regression.solve(work.job) : Kronecker.solve(work.job)
  if (!Number.isFinite(solved.residual) || !solved.values.every(Number.isFinite)) {
    throw new RangeError(
      "its equations have no finite solution: weights or statistics are not finite, or too large",
    )
  }
  return solved
}
