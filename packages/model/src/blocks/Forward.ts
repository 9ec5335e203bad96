/**
 * The forward pass of a model that runs piece by piece: tokens to the residual stream, and on through the layers.
 *
 * A layer is loaded once for everything that goes through it: all batches, under all settings of the gates.
 */
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../Checkpoint.ts"
import type * as Gates from "../Gates.ts"
import type { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import type { BlockRunner, Run } from "../runtime/BlockRunner.ts"
import * as Losses from "../runtime/Losses.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import type { LayerPiece, Pieces } from "./Pieces.ts"
import type { Batch, Residual } from "./Residual.ts"
import * as Residuals from "./Residual.ts"
import * as Rows from "./Rows.ts"

/** What a model is made of. `name` stands for it in errors. */
export interface Parts {
  readonly name: string
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  readonly pieces: Pieces
  readonly runner: BlockRunner
}

/** A stream, and the gates of the layers ahead of it. */
export interface Setting {
  readonly residual: Residual
  readonly gates: Gates.Gates
}

export interface Forward {
  /** The stream before the first layer of rows of tokens, in these batches of them. */
  readonly embed: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    batches: ReadonlyArray<ReadonlyArray<number>>,
  ) => Effect.Effect<Residual, ModelError>
  /** The streams before layer `upTo`; those that are there or beyond stay as they are. */
  readonly advance: (
    settings: ReadonlyArray<Setting>,
    upTo: number,
  ) => Effect.Effect<ReadonlyArray<Residual>, ModelError>
}

/** The gate inputs of layer `l`. */
export const gateFeeds = ({ heads }: ModelShape, gates: Gates.Gates, l: number): Tensors => ({
  "gates.heads": Batches.float32(gates.heads.slice(l * heads, (l + 1) * heads), [1, heads]),
  "gates.mlp": Batches.float32(gates.mlp.slice(l, l + 1), [1]),
})

/** The forward pass over pieces. */
export const make = ({ checkpoint, name, pieces, runner, shape }: Parts): Forward => {
  const { encoded, inputs } = pieces.embedding
  const nothing = { name: "no weights", slab: -1, capacity: 0, weights: [] }

  const embed: Forward["embed"] = Effect.fnUntraced(function* (rows, batches) {
    const embedded: Array<Batch> = []
    for (const batch of batches) {
      const tokens = batch.map((row) => rows[row] ?? [])
      const feeds: Record<string, Tensors[string]> = { ...Batches.feeds(tokens, [], "right") }
      for (const [input, { indices, tensor }] of inputs.rows) {
        const of = feeds[indices]
        const data = yield* Rows.read(name, checkpoint, tensor, of?.type === "int32" ? of.data : [])
        feeds[input] = Batches.float32(data, [...(of?.dims ?? []), shape.hiddenSize])
      }
      const outputs = yield* runner.use(nothing, (run) => run(encoded, feeds, ["hidden"]))
      embedded.push({ rows: batch, tokens, hidden: Losses.float32(outputs["hidden"]) })
    }
    return { layer: 0, batches: embedded }
  })

  const through = (run: Run, { forward }: LayerPiece, l: number, gates: Gates.Gates, batch: Batch) =>
    Effect.map(
      run(forward.encoded, { ...Residuals.feeds(shape, batch), ...gateFeeds(shape, gates, l) }, ["output"]),
      ({ output }): Batch => ({ ...batch, hidden: Losses.float32(output) }),
    )

  const advance: Forward["advance"] = Effect.fnUntraced(function* (settings, upTo) {
    let current = settings
    for (const [l, layer] of pieces.layers.slice(0, upTo).entries()) {
      if (current.every(({ residual }) => residual.layer > l)) continue
      current = yield* runner.use(layer.piece, (run) =>
        Effect.forEach(current, (setting) =>
          setting.residual.layer > l
            ? Effect.succeed(setting)
            : Effect.map(
                Effect.forEach(setting.residual.batches, (batch) =>
                  through(run, layer, l, setting.gates, batch),
                ),
                (batches): Setting => ({ ...setting, residual: { layer: l + 1, batches } }),
              ),
        ),
      )
    }
    return current.map(({ residual }) => residual)
  })

  return { embed, advance }
}
