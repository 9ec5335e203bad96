/**
 * Karcher mean: the point of the sphere with the least sum of squared angles to the models, each tensor as one vector.
 *
 *     u_i = W_i / ‖W_i‖,  repeat: T = mean_i log_μ(u_i),  μ ← exp_μ(T)  until ‖T‖ < tol;  W = μ · mean_i ‖W_i‖
 *
 * Source: Karcher 1977; all models weigh the same. Defaults: max_iter 10, tol 1e-5. The iteration runs on coefficients in
 * f64 (the tool's runs in the tensors' dtype). A tensor that is all zeros in one model counts for nothing there.
 */
import { at, known } from "@hila/core/Lookup"
import * as Combination from "./Combination.ts"
import * as Definition from "./Definition.ts"
import * as Gram from "./Gram.ts"

const parameters = {
  max_iter: {
    level: "merge",
    kind: "number",
    default: 10,
    range: [1, 100_000],
    description: "most steps of the iteration",
  },
  tol: {
    level: "merge",
    kind: "number",
    default: 1e-5,
    range: [0, 1],
    description: "length of a step that ends the iteration",
  },
} as const

type Params = Definition.ParamsOf<typeof parameters>

/** Coefficients of the unit vectors at their Karcher mean. */
const mean = (gram: Gram.Gram, units: ReadonlyArray<ReadonlyArray<number>>, { max_iter, tol }: Params) => {
  const average = (vectors: ReadonlyArray<ReadonlyArray<number>>) =>
    gram.map((_, i) => vectors.reduce((sum, vector) => sum + at(vector, i), 0) / vectors.length)
  const length = (vector: ReadonlyArray<number>) => Math.sqrt(Math.max(0, Gram.inner(gram, vector, vector)))
  let point = average(units)
  const first = length(point)
  if (first < 1e-12) return at(units, 0)
  point = point.map((value) => value / first)
  for (let step = 0; step < max_iter; step++) {
    const at = point
    const tangent = average(
      units.map((unit) => {
        const cosine = Math.min(Math.max(Gram.inner(gram, at, unit), -1), 1)
        const angle = Math.acos(cosine)
        const factor = angle < 1e-6 ? 1 : angle / Math.sin(angle)
        return unit.map((value, i) => factor * (value - cosine * known(at[i])))
      }),
    )
    const size = length(tangent)
    if (size < tol) break
    const moved = at.map((value, i) => Math.cos(size) * value + (Math.sin(size) / size) * known(tangent[i]))
    const norm = length(moved)
    point = moved.map((value) => value / norm)
  }
  return point
}

export const method = Combination.make<Params>("karcher", import.meta.url, (gram, { params }) => {
  const norms = Gram.norms(gram)
  const units = norms.flatMap((norm, at) =>
    norm > 0 ? [norms.map((_, i) => (i === at ? 1 / norm : 0))] : [],
  )
  if (units.length === 0) return norms.map(() => 0)
  const scale = norms.reduce((sum, norm) => sum + norm, 0) / units.length
  return mean(gram, units, params).map((coefficient) => coefficient * scale)
})

export const definition = Definition.make({
  name: "karcher",
  version: 1,
  summary: "takes the point of the sphere that is nearest to all models",
  sources: [{ text: "Karcher 1977" }, { text: "mergekit 0.1.5" }],
  parameters,
  base: "none",
  models: [1, Infinity],
  taskVectors: false,
  method: () => method,
})
