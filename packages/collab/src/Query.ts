/**
 * What a gate is asked with: the mean of a text's word embeddings, which costs a look-up per token and no model.
 *
 * The table is that of one expert, as its checkpoint has it; its order of words is lost.
 */
import { at, entry, known } from "@hila/core/Lookup"
import { Architecture, Checkpoint, ModelError, Safetensors, Tokenizer } from "@hila/model"
import * as Effect from "effect/Effect"
import { dirname } from "node:path"

export interface Query {
  readonly width: number
  /** [width] for each text */
  readonly of: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Float32Array>, ModelError>
}

/** A table [rows, width] as f32, also of 8-bit integers with a scale per row. */
const table = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, name: string, width: number) {
  const [info, scale] = [checkpoint.tensors.get(name), checkpoint.tensors.get(`${name}.scale`)]
  if (info?.dtype !== "I8" || scale === undefined) return yield* Checkpoint.readFloat32(checkpoint, name)
  const integers = new Int8Array((yield* Safetensors.read(info)).buffer)
  const scales = yield* Checkpoint.readFloat32(checkpoint, scale.name)
  return Float32Array.from(integers, (value, i) => value * at(scales, Math.floor(i / width)))
})

/** Reads the table of an encoder and opens its tokenizer. */
export const open = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint) {
  const encoder = Architecture.resolveEncoder(checkpoint.config, checkpoint.tensors)
  const causal = Architecture.resolve(checkpoint.config, checkpoint.tensors)
  const shape = yield* Effect.matchEffect(encoder, { onFailure: () => causal, onSuccess: Effect.succeed })
  const width = shape.hiddenSize
  const rows = yield* table(checkpoint, shape.tensors.embedding, width)
  const tokenizer = yield* Tokenizer.open(checkpoint)
  const mean = (tokens: ReadonlyArray<number>): Float32Array => {
    const sum = new Float32Array(width)
    for (const token of tokens)
      for (let i = 0; i < width; i++) sum[i] = known(sum[i]) + known(rows[token * width + i])
    return sum.map((value) => value / Math.max(1, tokens.length))
  }
  const of: Query["of"] = (texts) =>
    Effect.flatMap(tokenizer.encodeAll(texts, { addSpecial: false }), (all) => {
      const unknown = all.flat().find((token) => (token + 1) * width > rows.length)
      if (unknown === undefined) return Effect.succeed(all.map(mean))
      const problem = `its tokenizer gives the token ${unknown}, its embedding has ${rows.length / width} rows; is it another model's tokenizer?`
      return Effect.fail(
        new ModelError({ model: dirname(entry(checkpoint.files, "config.json")), problem, blame: "input" }),
      )
    })
  return { width, of } satisfies Query
})
