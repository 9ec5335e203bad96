/**
 * The output head in slices of the vocabulary: log-likelihoods of targets and their derivatives, without ever holding
 * the logits of the whole vocabulary or the whole head.
 *
 * log Σ e^z over the vocabulary is put together from those of the slices in float64; the derivative of −log p(target)
 * is Σ over slices of softmax(z)·∂z − ∂z(target), which needs the whole sum first and hence a second pass.
 */
import { known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { BlockGraph } from "../graphs/BlockGraph.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import type { BlockRunner } from "../runtime/BlockRunner.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Pieces, Slice } from "./Pieces.ts"

/** Positions whose next token is asked for. */
export interface Asked {
  /** The residual stream behind all layers, [targets.length, hiddenSize]. */
  readonly hidden: Float32Array
  readonly targets: ReadonlyArray<number>
}

/** What the head says of each target, in float64. */
export interface Answers {
  /** log p(target), in nats */
  readonly logLikelihood: Float64Array
  /** log Σ e^z over the vocabulary */
  readonly logSumExp: Float64Array
}

export interface Head {
  /** Log-likelihoods of the targets; every slice is loaded once. */
  readonly logLikelihoods: (asked: Asked) => Effect.Effect<Answers, ModelError>
  /**
   * The derivative of each −log p(target) with respect to its hidden state, [targets.length, hiddenSize], by the
   * head's backward graph.
   */
  readonly gradient: (
    asked: Asked,
    logSumExp: Float64Array,
    backward: BlockGraph,
  ) => Effect.Effect<Float32Array, ModelError>
}

/** The head of a model that is cut into pieces. */
export const make = (shape: ModelShape, { budget, head, slices }: Pieces, runner: BlockRunner): Head => {
  const { hiddenSize } = shape
  const widest = slices.reduce((max, { size }) => Math.max(max, size), 1)
  // Logits, their log-softmax and what a backward pass adds.
  const rowsAtOnce = Math.max(1, Math.floor(budget.activations / (4 * (4 * widest + 2 * hiddenSize))))
  const chunks = ({ targets }: Asked) =>
    Array.from({ length: Math.ceil(targets.length / rowsAtOnce) }, (_, i) => ({
      start: i * rowsAtOnce,
      end: Math.min((i + 1) * rowsAtOnce, targets.length),
    }))
  const feeds = (
    { hidden, targets }: Asked,
    { size, start }: Slice,
    rows: { start: number; end: number },
  ) => ({
    hidden: Batches.float32(hidden.slice(rows.start * hiddenSize, rows.end * hiddenSize), [
      rows.end - rows.start,
      hiddenSize,
    ]),
    // Every row reads some entry of the slice; whether it is the target is looked at afterwards.
    targets: Batches.int32(
      Int32Array.from(targets.slice(rows.start, rows.end), (token) =>
        Math.min(Math.max(token - start, 0), size - 1),
      ),
      [rows.end - rows.start],
    ),
  })
  const lies = (token: number | undefined, { size, start }: Slice): boolean =>
    token !== undefined && token >= start && token < start + size

  return {
    logLikelihoods: Effect.fnUntraced(function* (asked) {
      const logSumExp = new Float64Array(asked.targets.length).fill(-Infinity)
      const logits = new Float64Array(asked.targets.length).fill(Number.NaN)
      for (const slice of slices) {
        yield* runner.use(slice.piece, (run) =>
          Effect.forEach(
            chunks(asked),
            Effect.fnUntraced(function* (rows) {
              const outputs = yield* run(head.encoded, feeds(asked, slice, rows), ["target", "logSumExp"])
              const [target, part] = [Losses.float32(outputs["target"]), Losses.float32(outputs["logSumExp"])]
              for (let row = rows.start; row < rows.end; row++) {
                const i = row - rows.start
                logSumExp[row] = logAddExp(known(logSumExp[row]), known(part[i]))
                if (lies(asked.targets[row], slice)) logits[row] = known(target[i])
              }
            }),
            { discard: true },
          ),
        )
      }
      return { logSumExp, logLikelihood: logits.map((logit, row) => logit - known(logSumExp[row])) }
    }),
    gradient: Effect.fnUntraced(function* (asked, logSumExp, backward) {
      const total = new Float64Array(asked.hidden.length)
      for (const slice of slices) {
        yield* runner.use(slice.piece, (run) =>
          Effect.forEach(
            chunks(asked),
            Effect.fnUntraced(function* (rows) {
              const size = [rows.end - rows.start]
              const found = Float32Array.from(asked.targets.slice(rows.start, rows.end), (token) =>
                lies(token, slice) ? 1 : 0,
              )
              const outputs = yield* run(
                backward.encoded,
                {
                  ...feeds(asked, slice, rows),
                  found: Batches.float32(found, size),
                  logSumExp: Batches.float32(
                    Float32Array.from(logSumExp.subarray(rows.start, rows.end)),
                    size,
                  ),
                },
                ["d.hidden"],
              )
              const part = Losses.float32(outputs["d.hidden"])
              for (let i = 0, at = rows.start * hiddenSize; i < part.length; i++, at++)
                total[at] = known(total[at]) + known(part[i])
            }),
            { discard: true },
          ),
        )
      }
      return Float32Array.from(total)
    }),
  }
}

/** log(e^a + e^b), NaN where either is. */
const logAddExp = (a: number, b: number): number => {
  const max = Math.max(a, b)
  return max === -Infinity ? max : max + Math.log1p(Math.exp(Math.min(a, b) - max))
}
