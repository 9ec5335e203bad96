/**
 * The forward pass of a model that runs piece by piece: tokens to the residual stream, and on through the layers.
 *
 * A layer is loaded once for everything that goes through it: all batches, under all settings of the gates.
 */
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../Checkpoint.ts"
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

/** The inputs that gates of one kind are to graphs. */
export interface Gating<in G> {
  /** What is wrong with gates of another model, or undefined. */
  readonly misfit: (gates: G) => string | undefined
  readonly ofLayer: (gates: G, l: number) => Tensors
  /** Of embedding and head. */
  readonly ofRest: (gates: G) => Tensors
}

/** What a model is made of. `name` stands for it in errors. */
export interface Parts<in G> {
  readonly name: string
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  readonly pieces: Pieces
  readonly runner: BlockRunner
  readonly gating: Gating<G>
}

/** A stream, and the gates of the layers ahead of it. */
export interface Setting<out G> {
  readonly residual: Residual
  readonly gates: G
}

export interface Forward<in G> {
  /** The stream before the first layer of rows of tokens, in these batches of them. */
  readonly embed: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    batches: ReadonlyArray<ReadonlyArray<number>>,
    gates: G,
  ) => Effect.Effect<Residual, ModelError>
  /** The streams before layer `upTo`; those that are there or beyond stay as they are. */
  readonly advance: (
    settings: ReadonlyArray<Setting<G>>,
    upTo: number,
  ) => Effect.Effect<ReadonlyArray<Residual>, ModelError>
}

/** The forward pass over pieces. */
export const make = <G>({ checkpoint, gating, name, pieces, runner, shape }: Parts<G>): Forward<G> => {
  const { encoded, inputs } = pieces.embedding
  const nothing = { name: "no weights", slab: -1, capacity: 0, weights: [] }

  const embed: Forward<G>["embed"] = Effect.fnUntraced(function* (rows, batches, gates) {
    const embedded: Array<Batch> = []
    for (const batch of batches) {
      const tokens = batch.map((row) => rows[row] ?? [])
      const feeds: Record<string, Tensors[string]> = {
        ...Batches.feeds(tokens, [], "right"),
        ...gating.ofRest(gates),
      }
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

  const through = (run: Run, { graph }: LayerPiece, l: number, gates: G, batch: Batch) =>
    Effect.map(
      run(graph.encoded, { ...Residuals.feeds(shape, batch), ...gating.ofLayer(gates, l) }, ["output"]),
      ({ output }): Batch => ({ ...batch, hidden: Losses.float32(output) }),
    )

  const advance: Forward<G>["advance"] = Effect.fnUntraced(function* (settings, upTo) {
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
                (batches): Setting<G> => ({ ...setting, residual: { layer: l + 1, batches } }),
              ),
        ),
      )
    }
    return current.map(({ residual }) => residual)
  })

  return { embed, advance }
}
