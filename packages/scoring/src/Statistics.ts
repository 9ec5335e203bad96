/**
 * Mean, standard error and significance of paired differences, one value per golden example.
 */

export { mean, standardError } from "@hila/model/data/Statistics"

/** Whether a score differs from 0 by at least two standard errors (about 95 % of chance differences do not). */
export const isSignificant = (score: number, error: number): boolean =>
  score !== 0 && Math.abs(score) >= 2 * error
