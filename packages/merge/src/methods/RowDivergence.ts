/**
 * The divergence of two rows of weights in mergekit 0.1.5's own arithmetic, so that its choices come out the same.
 *
 *     KL(p ‖ q) = Σ p · log(p / q),   p = softmax(to) + 1e-8,   q = softmax(from) + 1e-8
 *
 * Rows of fine-tuned models differ by 1e-10 to 1e-5, which is no more than what rounding to f32 does to such a sum: in
 * f64 one or two of a hundred choices come out differently. What the rounding depends on is therefore part of the
 * method: every step rounds to f32, exponentials are a polynomial with errors of up to one unit in the last place, and
 * sums run in 16 lanes that are folded in halves, as they do on a processor with vectors of 512 bits.
 */
import { known } from "@hila/core/Lookup"

const { fround } = Math

/** a · b + c with one rounding; the product of two f32 is exact in f64. */
const fma = (a: number, b: number, c: number): number => fround(a * b + c)

/** ln 2 in two parts, so that x − n ln 2 loses nothing. */
const ln2 = [fround(0.693145751953125), fround(1.428606765330187e-6)] as const
/** From 1/7! down to 1/2!, as fitted over |s| ≤ ln 2 / 2 by the SLEEF library for errors of at most 1.0 ulp. */
const coefficients = [
  1.98527617612853646278381e-4, 1.39304355252534151077271e-3, 8.33336077630519866943359e-3,
  4.16664853692054748535156e-2, 0.166666671633720397949219, 0.5,
].map(fround)
const log2e = fround(Math.LOG2E)

/** e^x for x ≤ 0 in f32. */
const exp = (x: number): number => {
  const n = nearest(fround(x * log2e))
  const s = fma(n, -ln2[1], fma(n, -ln2[0], x))
  let u = known(coefficients[0])
  for (let i = 1; i < coefficients.length; i++) u = fma(u, s, known(coefficients[i]))
  return fround(fround(1 + fma(fround(s * s), u, s)) * 2 ** n)
}

/** To the nearest integer, halves to even. */
const nearest = (x: number): number => {
  const down = Math.floor(x)
  const rest = x - down
  return rest < 0.5 || (rest === 0.5 && down % 2 === 0) ? down : down + 1
}

const lanes = 16

/** A sum in f32: lane by lane, what does not fill all lanes at the end, then halves onto halves. */
const sum = (values: Float32Array): number => {
  const whole = values.length - (values.length % lanes)
  const partial = new Float32Array(lanes)
  for (let i = 0; i < whole; i += lanes)
    for (let lane = 0; lane < lanes; lane++) partial[lane] = known(partial[lane]) + known(values[i + lane])
  for (let i = whole; i < values.length; i++)
    partial[i - whole] = known(partial[i - whole]) + known(values[i])
  for (let half = lanes / 2; half >= 1; half /= 2)
    for (let lane = 0; lane < half; lane++) partial[lane] = known(partial[lane]) + known(partial[lane + half])
  return known(partial[0])
}

const epsilon = fround(1e-8)

/** The softmax of a row with 1e-8 added to each probability, written to `out`. */
const probabilities = (out: Float32Array, row: Float32Array): void => {
  const most = row.reduce((largest, value) => Math.max(largest, value), -Infinity)
  for (let i = 0; i < row.length; i++) out[i] = exp(fround(known(row[i]) - most))
  const scale = fround(1 / sum(out))
  for (let i = 0; i < row.length; i++) out[i] = fround(fround(known(out[i]) * scale) + epsilon)
}

/** KL(softmax(to) ‖ softmax(from)) of one row as the tool rounds it; may be negative by as much as rounding makes it. */
export const of = (to: Float32Array, from: Float32Array): number => {
  const [p, q] = [new Float32Array(to.length), new Float32Array(to.length)]
  probabilities(p, to)
  probabilities(q, from)
  for (let i = 0; i < p.length; i++) p[i] = known(p[i]) * fround(Math.log(fround(known(p[i]) / known(q[i]))))
  return sum(p)
}
