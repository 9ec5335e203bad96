/**
 * How much of what experts learned to add to a larger model's logits at one step: the weights of Dynamic Logits Fusion
 * (Fan et al., 2024).
 *
 * With P the large model's distribution, Q the small model's, Q_t the experts' and P̃(α) ∝ exp(L + Σ α_t·(M_t − S)), the
 * weights are those for which the large model moves as far as the small one did:
 *
 *   argmin_α Σ_t (KL(P̃‖P) − KL(Q_t‖Q))² + (KL(P‖P̃) − KL(Q‖Q_t))²
 *
 * searched on a grid, one expert at a time with the others at 0. α = 0 wins ties, so experts that learned nothing add
 * nothing. The minimum is sought anew at every step.
 */
import { known } from "@hila/core/Lookup"

/** The grid: 0, step, 2·step, … up to `maximum`. */
export interface Grid {
  readonly maximum: number
  readonly step: number
}

/** Squared differences of divergences below this are float32's noise in the logits, not a better fit. */
const noise = 1e-12

/** Two distributions' divergences, in nats: of the second from the first and the other way round. */
interface Divergences {
  readonly there: number
  readonly back: number
}

/**
 * Divergences between p ∝ exp(l) and q ∝ exp(l + a·d), `there` = KL(q‖p), `back` = KL(p‖q). With
 * log q − log p = a·d − (log Z_q − log Z_p), both need only E_q[d], E_p[d] and the two normalisers.
 */
const divergences = (logits: Float32Array, shift: Float64Array, a: number): Divergences => {
  const moments = (by: number) => {
    let max = -Infinity
    for (let i = 0; i < logits.length; i++) max = Math.max(max, known(logits[i]) + by * known(shift[i]))
    let [total, mean] = [0, 0]
    for (let i = 0; i < logits.length; i++) {
      const weight = Math.exp(known(logits[i]) + by * known(shift[i]) - max)
      total += weight
      mean += weight * known(shift[i])
    }
    return { logNormaliser: max + Math.log(total), mean: mean / total }
  }
  if (a === 0) return { there: 0, back: 0 }
  const [p, q] = [moments(0), moments(a)]
  const change = q.logNormaliser - p.logNormaliser
  // Rounding may leave a divergence of equal distributions a little below 0.
  return { there: Math.max(0, a * q.mean - change), back: Math.max(0, change - a * p.mean) }
}

/** The weights [experts] of one step, from the logits [vocabulary] of the three kinds of models. */
export const search = (
  large: Float32Array,
  small: Float32Array,
  experts: ReadonlyArray<Float32Array>,
  { maximum, step }: Grid,
): ReadonlyArray<number> => {
  const shifts = experts.map((expert) => Float64Array.from(expert, (value, i) => value - known(small[i])))
  const goals = shifts.map((shift) => divergences(small, shift, 1))
  const misfit = ({ back, there }: Divergences) =>
    goals.reduce((sum, goal) => sum + (there - goal.there) ** 2 + (back - goal.back) ** 2, 0)
  const none = experts.map(() => 0)
  let best = { alphas: none, value: misfit({ there: 0, back: 0 }) - noise }
  for (const [t, shift] of shifts.entries()) {
    for (let i = 1; i * step <= maximum + step / 1000; i++) {
      const value = misfit(divergences(large, shift, i * step))
      if (value < best.value) best = { alphas: none.with(t, i * step), value }
    }
  }
  return best.alphas
}

/** L + Σ α_t·(M_t − S), [vocabulary]. */
export const combine = (
  large: Float32Array,
  small: Float32Array,
  experts: ReadonlyArray<Float32Array>,
  alphas: ReadonlyArray<number>,
): Float32Array =>
  large.map((value, i) =>
    experts.reduce((sum, expert, t) => sum + known(alphas[t]) * (known(expert[i]) - known(small[i])), value),
  )
