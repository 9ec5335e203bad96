/**
 * Moves of units as inputs of the graphs that compute them: what changes in each sequence of a batch.
 */
import * as InterpolatedGates from "../attribution/InterpolatedGates.ts"
import * as AblationGates from "../attribution/AblationGates.ts"
import type { Span } from "../graphs/SuffixGraph.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import type { Tensor, Tensors } from "../runtime/Protocol.ts"
import type { UnitOutputMeans } from "../attribution/UnitOutputMeans.ts"
import type { Move } from "./UnitInterventions.ts"

/** Rows of one length as a matrix. */
const matrix = (rows: ReadonlyArray<Float32Array>, size: number): Tensor => {
  const data = new Float32Array(rows.length * size)
  rows.forEach((row, i) => data.set(row, i * size))
  return Batches.float32(data, [rows.length, size])
}

const indices = (values: ReadonlyArray<number>): Tensor =>
  Batches.int32(Int32Array.from(values), [values.length])

/** The inputs of one layer after the other under their names. */
const byLayer = ({ end, start }: Span, of: (layer: number) => Tensors): Tensors =>
  Object.fromEntries(
    Array.from({ length: end - start }, (_, i) => start + i).flatMap((layer) =>
      Object.entries(of(layer)).map(([name, tensor]) => [`${name}.${layer}`, tensor] as const),
    ),
  )

/** Sequences and, in their order, where each sequence of the batch lies among them; the others lie at the last. */
const selected = (sequences: ReadonlyArray<number>, batch: number) => {
  const places = Array.from<number>({ length: batch }).fill(sequences.length)
  sequences.forEach((sequence, place) => (places[sequence] = place))
  return { moved: indices([...sequences, 0]), places: indices(places) }
}

/** The inputs of `SuffixGraph.moving`: units that move along a change. */
export const moving =
  (shape: ModelShape) =>
  (span: Span, moves: ReadonlyArray<Move>): Tensors => {
    const { heads, kvHeads } = shape
    // A step of 0 is the place of all that do not move.
    const still = InterpolatedGates.filled({ ...shape, layers: shape.layers.slice(0, 1) }, 0)
    const isMoved = (values: Float32Array) => values.some((value) => value !== 0)
    return byLayer(span, (layer) => {
      const gates = moves.map(({ step, unit }) =>
        unit.layer === layer ? InterpolatedGates.with(still, shape, { ...unit, layer: 0 }, step) : still,
      )
      const chosen = (moved: (own: InterpolatedGates.InterpolatedGates) => boolean) =>
        gates.flatMap((own, i) => (moved(own) ? [i] : []))
      const ofHeads = chosen(({ kvHeads: kv, queryHeads }) => isMoved(queryHeads) || isMoved(kv))
      const ofMlp = chosen(({ mlp }) => isMoved(mlp))
      const rows = (sequences: ReadonlyArray<number>, of: "queryHeads" | "kvHeads" | "mlp") =>
        [...sequences.map((i) => gates[i] ?? still), still].map((own) => own[of])
      const [inHeads, inMlp] = [selected(ofHeads, moves.length), selected(ofMlp, moves.length)]
      const steps = Float32Array.from(rows(ofMlp, "mlp"), ([step = 0]) => step)
      return {
        "queryHeads.steps": matrix(rows(ofHeads, "queryHeads"), heads),
        "kvHeads.steps": matrix(rows(ofHeads, "kvHeads"), kvHeads),
        "heads.moved": inHeads.moved,
        "heads.places": inHeads.places,
        "mlp.steps": Batches.float32(steps, [steps.length]),
        "mlp.moved": inMlp.moved,
        "mlp.places": inMlp.places,
      }
    })
  }

/**
 * The inputs of `SuffixGraph.ablating`: units whose outputs are taken away, by a step of −1, and replaced by their means
 * where there are any.
 */
export const ablating =
  (shape: ModelShape, means: UnitOutputMeans | undefined) =>
  (span: Span, moves: ReadonlyArray<Move>): Tensors => {
    const { headDim, heads, intermediateSize } = shape
    const still = AblationGates.filled({ ...shape, layers: shape.layers.slice(0, 1) }, 1)
    const widths = { heads: heads * headDim, mlp: intermediateSize }
    return byLayer(span, (layer) => {
      const gates = moves.map(({ step, unit }) =>
        unit.layer === layer ? AblationGates.with(still, shape, { ...unit, layer: 0 }, 1 + step) : still,
      )
      const mean = (kind: "heads" | "mlp") => {
        const width = widths[kind]
        return means === undefined
          ? {}
          : {
              [`${kind}.means`]: Batches.float32(means[kind].slice(layer * width, (layer + 1) * width), [
                width,
              ]),
            }
      }
      return {
        "heads.gates": matrix(
          gates.map(({ heads: own }) => own),
          heads,
        ),
        "mlp.gates": Batches.float32(
          Float32Array.from(gates, ({ mlp: [gate = 1] }) => gate),
          [gates.length],
        ),
        ...mean("heads"),
        ...mean("mlp"),
      }
    })
  }
