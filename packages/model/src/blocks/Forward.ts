/**
 * The forward pass of a model that runs piece by piece: tokens to the residual stream, and on through the layers.
 *
 * A layer is loaded once for all batches that go through it.
 */
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import type { AblationGates } from "../attribution/AblationGates.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import type { BlockRunner } from "../runtime/BlockRunner.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import type { Pieces } from "./Pieces.ts"
import type { Batch } from "./Residual.ts"
import * as Residual from "./Residual.ts"
import * as Rows from "./Rows.ts"

/** What a model is made of. `name` stands for it in errors. */
export interface Parts {
  readonly name: string
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  readonly pieces: Pieces
  readonly runner: BlockRunner
}

export interface Forward {
  /** The stream before the first layer of rows of tokens, in these batches of them. */
  readonly embed: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    batches: ReadonlyArray<ReadonlyArray<number>>,
  ) => Effect.Effect<ReadonlyArray<Batch>, ModelError>
  /** The stream behind layer `l` from the one before it. */
  readonly layer: (
    l: number,
    stream: ReadonlyArray<Batch>,
    gates: AblationGates,
  ) => Effect.Effect<ReadonlyArray<Batch>, ModelError>
}

/** The gates of layer `l` as inputs of its graph. */
export const gateFeeds = (
  { heads: count }: ModelShape,
  { heads, mlp }: AblationGates,
  l: number,
): Tensors => ({
  "gates.heads": Batches.float32(heads.slice(l * count, (l + 1) * count), [1, count]),
  "gates.mlp": Batches.float32(mlp.slice(l, l + 1), [1]),
})

/** The forward pass over pieces. */
export const make = ({ checkpoint, name, pieces, runner, shape }: Parts): Forward => {
  const { encoded, inputs } = pieces.embedding
  const nothing = { name: "no weights", slab: -1, capacity: 0, weights: [] }

  const embed: Forward["embed"] = Effect.fnUntraced(function* (rows, batches) {
    const embedded: Array<Batch> = []
    for (const batch of batches) {
      const tokens = batch.map((row) => at(rows, row))
      const feeds: Record<string, Tensors[string]> = { ...Batches.feeds(tokens, [], "right") }
      for (const [input, { indices, tensor }] of inputs.rows) {
        const of = feeds[indices]
        const data = yield* Rows.read(name, checkpoint, tensor, of?.type === "int32" ? of.data : [])
        feeds[input] = Batches.float32(data, [...(of?.dims ?? []), shape.hiddenSize])
      }
      const outputs = yield* runner.use(nothing, (run) => run(encoded, feeds, ["hidden"]))
      embedded.push({ rows: batch, tokens, hidden: Losses.float32(outputs["hidden"]) })
    }
    return embedded
  })

  const layer: Forward["layer"] = Effect.fnUntraced(function* (l, stream, gates) {
    const { graph, piece } = at(pieces.layers, l)
    return yield* runner.use(piece, (run) =>
      Effect.forEach(stream, (batch) =>
        Effect.map(
          run(graph.encoded, { ...Residual.feeds(shape, batch), ...gateFeeds(shape, gates, l) }, ["output"]),
          ({ output }): Batch => ({ ...batch, hidden: Losses.float32(output) }),
        ),
      ),
    )
  })

  return { embed, layer }
}
