/**
 * Which scalars of a unit's task vector stay, once it is known how many: the largest, or a random draw.
 *
 * A draw is a selection of the largest of random keys, so that it is exact in number and streams: element i has the key
 * u_i^(1 / p_i), u_i uniform, and the k largest keys are a sample without replacement with odds p_i (Efraimidis & Spirakis
 * 2006). Numbers are keyed by seed, tensor and element.
 */
import { known } from "@hila/core/Lookup"
import type { Region } from "../units/Region.ts"
import * as Random from "../kernels/Random.ts"

/**
 * `magnitude`: the largest |δ|. `dare`: any, with equal odds (Yu et al. 2024, arXiv 2311.03099). `della`: with odds
 * ρ + ε (2 r − 1), r the rank of |δ| in its row of the unit from 0 to 1 (Deep et al. 2024, arXiv 2406.11617). What random
 * draws keep is scaled by 1/ρ of its unit, so that its sum stays the same on average.
 */
export type Sparsifier = "magnitude" | "dare" | "della"

/** Half the difference of the odds of a row's largest and smallest element; mergekit 0.1.5's default. */
const EPSILON = 0.15
/** Odds are at least this, so that a unit can keep any number. */
const LEAST = 1e-3

/** The values whose largest stay: overwrites `delta` `[rows, columns]` of a run of rows in a region of one unit. */
export const overwrite = (
  sparsifier: Sparsifier,
  seed: number,
  tensor: string,
  chunk: { readonly firstRow: number; readonly columns: number },
  region: Region,
  density: number,
  delta: Float32Array,
): void => {
  if (sparsifier === "magnitude") return
  const { columns, firstRow } = chunk
  const key = Random.key(seed, 0, tensor)
  const width = region.right - region.left
  const order = new Uint32Array(width)
  const odds = new Float64Array(width).fill(1)
  for (let row = region.top; row < region.bottom; row++) {
    const start = row * columns + region.left
    if (sparsifier === "della") {
      for (let i = 0; i < width; i++) order[i] = i
      order.sort((a, b) => Math.abs(known(delta[start + a])) - Math.abs(known(delta[start + b])) || a - b)
      for (const [rank, i] of order.entries()) {
        const place = width === 1 ? 0.5 : rank / (width - 1)
        odds[i] = Math.max(density + EPSILON * (2 * place - 1), LEAST)
      }
    }
    const index = (firstRow + row) * columns + region.left
    const [k, l] = Random.lanes(key, Math.floor(index / 2 ** 32))
    for (let i = 0; i < width; i++) {
      const uniform = (Random.bits24(k, l, (index + i) | 0) + 0.5) / 2 ** 24
      // log u / p orders like u^(1 / p); its negative inverse is a large positive number for large keys.
      delta[start + i] = -known(odds[i]) / Math.log(uniform)
    }
  }
}
