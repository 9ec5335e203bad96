/**
 * What the responses of examples ask of the output head, and losses from its answers.
 *
 * The state at a position predicts the token after it; only positions that predict a token of a response are asked.
 */
import { at, known } from "@hila/core/Lookup"
import type { Example } from "../text/Example.ts"
import type { Asked } from "./Head.ts"
import type { Batch } from "./Residual.ts"
import * as Residual from "./Residual.ts"

/** A position that predicts: its batch, its place in it counted from the first padded position, and its row. */
export interface Place {
  readonly batch: number
  readonly at: number
  readonly row: number
  /** Tokens in the row's response. */
  readonly count: number
}

export interface Questions extends Asked {
  /** One place per target. */
  readonly places: ReadonlyArray<Place>
}

/** The questions of the examples that the batches hold, from their streams behind the last layer. */
export const of = (
  batches: ReadonlyArray<Batch>,
  examples: ReadonlyArray<Example>,
  hiddenSize: number,
): Questions => {
  const places: Array<Place> = []
  const targets: Array<number> = []
  for (const [batch, { rows, tokens }] of batches.entries()) {
    const width = Residual.widthOf({ tokens })
    for (const [sequence, row] of rows.entries()) {
      const { promptLength, tokens: all } = at(examples, row)
      const response = all.slice(promptLength)
      for (const [i, target] of response.entries()) {
        places.push({ batch, row, at: sequence * width + promptLength - 1 + i, count: response.length })
        targets.push(target)
      }
    }
  }
  const hidden = new Float32Array(places.length * hiddenSize) // [targets, hiddenSize]
  for (const [i, { at, batch }] of places.entries()) {
    const stream = known(batches[batch]).hidden
    hidden.set(stream.subarray(at * hiddenSize, (at + 1) * hiddenSize), i * hiddenSize)
  }
  return { places, targets, hidden }
}

/** Mean negative log-likelihood per example, in nats; 0 for examples nothing was asked of. */
export const losses = (
  { places }: Questions,
  logLikelihood: Float64Array,
  examples: ReadonlyArray<Example>,
): Float64Array => {
  const result = new Float64Array(examples.length)
  for (const [i, { count, row }] of places.entries()) {
    result[row] = known(result[row]) - known(logLikelihood[i]) / count
  }
  return result
}

/** The derivatives of the losses with respect to the streams of the batches, from those of each −log p(target). */
export const adjoints = (
  { places }: Questions,
  gradient: Float32Array,
  batches: ReadonlyArray<Batch>,
  hiddenSize: number,
): ReadonlyArray<Float32Array> => {
  const result = batches.map(({ hidden: { length } }) => new Float32Array(length))
  for (const [i, { at, batch, count }] of places.entries()) {
    const own = gradient.slice(i * hiddenSize, (i + 1) * hiddenSize).map((value) => value / count)
    result[batch]?.set(own, at * hiddenSize)
  }
  return result
}
