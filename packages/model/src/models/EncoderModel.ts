/**
 * An encoder that is open: class logits per sequence, hidden states per token.
 */
import type * as Scope from "effect/Scope"
import * as Checkpoints from "../checkpoint/Checkpoint.ts"
import { encoder } from "../graphs/Encoder.ts"
import { asModelError, nameOf } from "../architectures/SharedShape.ts"
import { Runtime } from "../runtime/Runtime.ts"
import * as Tokenizers from "../text/Tokenizer.ts"
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import type { ModelError } from "../ModelError.ts"
import type { EncoderShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Losses from "../runtime/Losses.ts"
import * as PerPosition from "../runtime/PerPosition.ts"
import type { Tensor } from "../runtime/Protocol.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"
import type { Tokenizer } from "../text/Tokenizer.ts"

type Rows = ReadonlyArray<ReadonlyArray<number>>

export interface EncoderModel {
  readonly checkpoint: Checkpoint
  /** `shape.classifier.labels` names the classes. */
  readonly shape: EncoderShape
  /** The checkpoint's tokenizer, opened on first use; fails where there is none. */
  readonly tokenizer: Effect.Effect<Tokenizer, ModelError>
  /** Logits of every class, [classes] per row of tokens (special tokens included). */
  readonly logits: (rows: Rows) => Effect.Effect<ReadonlyArray<Float32Array>, ModelError>
  /** Last hidden states of every position, [length, hiddenSize] per row of tokens. */
  readonly hidden: (rows: Rows) => Effect.Effect<ReadonlyArray<Float32Array>, ModelError>
}

/** What an encoder is made of. `name` stands for it in errors. */
export interface Parts {
  readonly name: string
  readonly checkpoint: Checkpoint
  readonly shape: EncoderShape
  readonly tokenizer: Effect.Effect<Tokenizer, ModelError>
  readonly program: OpenProgram
}

/** Rows of the table of positions, [rows, longest]; padding at the end reads the first row. */
export const places = ({ firstPosition, paddingToken }: EncoderShape, rows: Rows): Tensor => {
  const width = Math.max(...rows.map(({ length }) => length))
  const table = new Int32Array(rows.length * width)
  rows.forEach((row, i) => {
    let next = firstPosition
    row.forEach((token, t) => {
      // A padding token has its own place, also in the middle of a row, and is not counted.
      table[i * width + t] = token === paddingToken ? firstPosition - 1 : next++
    })
  })
  return Batches.int32(table, [rows.length, width])
}

/** The model over an open program. */
export const make = ({ checkpoint, name, program, shape, tokenizer }: Parts): EncoderModel => ({
  checkpoint,
  shape,
  tokenizer,
  hidden: (rows) =>
    PerPosition.read(rows, {
      model: name,
      shape,
      program,
      output: "hidden",
      width: shape.hiddenSize,
      extra: (batch) => ({ places: places(shape, batch) }),
    }),
  logits: Effect.fnUntraced(function* (rows) {
    for (const [i, row] of rows.entries()) yield* Losses.checkTokens(name, shape, `row ${i}`, row)
    const extents = rows.map(({ length }) => ({ length, total: length, rows: 1 }))
    const results: Array<Float32Array> = rows.map(() => new Float32Array(0))
    const classes = shape.classifier.labels.length
    const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
      const sequences = batch.map((i) => at(rows, i))
      const feeds = { ...Batches.feeds(sequences, [], "right"), places: places(shape, sequences) }
      const outputs = yield* program.lease((lease) => lease.run(feeds, ["logits"]))
      const all = Losses.float32(outputs["logits"])
      batch.forEach((index, i) => (results[index] = all.slice(i * classes, (i + 1) * classes)))
    })
    yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: program.width, discard: true })
    return results
  }),
})

/** Opens an encoder with its classification head; its sessions close with the scope. */
export const open = Effect.fn("EncoderModel.open")(function* (
  checkpoint: Checkpoint,
): Effect.fn.Return<EncoderModel, ModelError, Runtime | Scope.Scope> {
  const name = nameOf(checkpoint)
  const shape = yield* Effect.mapError(Checkpoints.validateEncoder(checkpoint), asModelError(name))
  const program = yield* (yield* Runtime).start(name, encoder(shape, checkpoint.tensors))
  const tokenizer = yield* Effect.cached(Tokenizers.open(checkpoint))
  return make({ name, checkpoint, shape, program, tokenizer })
})
