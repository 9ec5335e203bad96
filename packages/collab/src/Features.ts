/**
 * What experts say of texts, extracted once and kept in a file: [rows, width] features and [rows, classes] logits of
 * each set of texts.
 *
 * Rows are read in pieces of a few hundred that are kept as they are finished, and streamed into one safetensors file;
 * an interrupted extraction goes on at the first piece that is missing.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Dtype, Safetensors, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import type { Reading } from "./Expert.ts"
import type { Divided } from "./LabelledText.ts"

/** The sets of texts heads work with. */
export const sets = ["heads", "validation", "test"] as const
export type Set = (typeof sets)[number]

/** What is known of the source of a table. */
export const Info = Schema.Struct({
  name: Schema.String,
  width: Schema.Int,
  /** Classes of the logits; 0 where there are none. */
  classes: Schema.Int,
  parameters: Schema.Int,
  bytes: Schema.Int,
  /** Mean operations per text of the test set. */
  flops: Schema.Finite,
})
export type Info = typeof Info.Type

/** A file of features. */
export const artifact = Artifact.file("features")

/** Rows of one set in memory. */
export interface Rows {
  readonly count: number
  /** [count, width] */
  readonly features: Float32Array
  /** [count, classes] */
  readonly logits: Float32Array
}

export interface Table {
  readonly info: Info
  readonly rows: Readonly<Record<Set, Rows>>
}

/** Texts read together, and kept together. */
const pieceSize = 256

/** A source of readings, and what it is. */
export interface Reader<E, R> {
  readonly info: Omit<Info, "flops">
  /** Operations for each text. */
  readonly flops: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<number>, E, R>
  readonly read: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Reading>, E, R>
}

const bytesOf = (values: Float32Array) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

const joined = (parts: ReadonlyArray<Float32Array>, width: number): Float32Array => {
  const all = new Float32Array(parts.length * width)
  parts.forEach((part, i) => all.set(part, i * width))
  return all
}

/** Reads every text of every set; returns the file. */
export const extract = Effect.fnUntraced(function* <E, R>(
  divided: Divided,
  { flops, info, read }: Reader<E, R>,
) {
  const scratch = yield* Stage.scratch
  const pieces = sets.flatMap((set) =>
    Array.from({ length: Math.ceil(divided[set].length / pieceSize) }, (_, i) => ({ set, i })),
  )
  const piece = Effect.fnUntraced(function* ({ i, set }: (typeof pieces)[number]) {
    const texts = divided[set].slice(i * pieceSize, (i + 1) * pieceSize).map(({ text }) => text)
    const readings = yield* read(texts)
    const path = join(scratch, `${randomUUID()}.safetensors`)
    const data = {
      features: joined(
        readings.map(({ features }) => features),
        info.width,
      ),
      logits: joined(
        readings.map(({ logits }) => logits),
        info.classes,
      ),
    }
    yield* SafetensorsWriter.write(path, {
      tensors: [
        { name: "features", dtype: "F32", shape: [texts.length, info.width] },
        { name: "logits", dtype: "F32", shape: [texts.length, info.classes] },
      ],
      data: ({ name }, put) => put(bytesOf(name === "features" ? data.features : data.logits)),
    })
    return { path }
  })
  const files = yield* Stage.forEach(pieces, piece, {
    part: ({ i, set }) => `${set}-${i}`,
    output: Artifact.file("features-piece"),
  })
  const path = join(scratch, "features.safetensors")
  const costs = yield* flops(divided.test.map(({ text }) => text))
  const mean = costs.reduce((sum, cost) => sum + cost, 0) / Math.max(1, costs.length)
  const whole: Info = { ...info, flops: mean }
  yield* SafetensorsWriter.write(path, {
    metadata: { "hila.features": JSON.stringify(whole) },
    tensors: sets.flatMap((set) => [
      { name: `${set}.features`, dtype: "F32" as const, shape: [divided[set].length, info.width] },
      { name: `${set}.logits`, dtype: "F32" as const, shape: [divided[set].length, info.classes] },
    ]),
    data: Effect.fnUntraced(function* ({ name }, put) {
      const [set, tensor = ""] = name.split(".")
      for (const [index, { path: from }] of files.entries()) {
        if (pieces[index]?.set !== set) continue
        const source = (yield* Safetensors.open(from)).tensors.get(tensor)
        if (source !== undefined) yield* put(yield* Safetensors.read(source))
      }
    }),
  })
  return { path }
})

/** Writes a table with logits [rows, classes] in place of those it had. */
export const withLogits = Effect.fnUntraced(function* (
  path: string,
  { info, rows }: Table,
  classes: number,
  logits: Readonly<Record<Set, Float32Array>>,
) {
  const whole: Info = { ...info, classes, parameters: info.parameters + (info.width + 1) * classes }
  yield* SafetensorsWriter.write(path, {
    metadata: { "hila.features": JSON.stringify(whole) },
    tensors: sets.flatMap((set) => [
      { name: `${set}.features`, dtype: "F32" as const, shape: [rows[set].count, info.width] },
      { name: `${set}.logits`, dtype: "F32" as const, shape: [rows[set].count, classes] },
    ]),
    data: ({ name }, put) => {
      const [set, tensor] = name.split(".") as [Set, string]
      return put(bytesOf(tensor === "features" ? rows[set].features : logits[set]))
    },
  })
  return { path }
})

/** A file of features in memory. */
export const read = Effect.fnUntraced(function* ({ path }: Artifact.FileHandle) {
  const { metadata, tensors } = yield* Safetensors.open(path)
  const info = yield* Effect.orDie(
    Schema.decodeUnknownEffect(Schema.fromJsonString(Info))(metadata["hila.features"]),
  )
  const numbers = Effect.fnUntraced(function* (name: string) {
    const tensor = tensors.get(name)
    return tensor === undefined
      ? new Float32Array(0)
      : Dtype.toFloat32(yield* Safetensors.read(tensor), "F32")
  })
  const rowsOf = Effect.fnUntraced(function* (set: Set) {
    const features = yield* numbers(`${set}.features`)
    const info = tensors.get(`${set}.features`)
    const count = info === undefined ? 0 : at(info.shape, 0)
    return { count, features, logits: yield* numbers(`${set}.logits`) } satisfies Rows
  })
  const rows = {
    heads: yield* rowsOf("heads"),
    validation: yield* rowsOf("validation"),
    test: yield* rowsOf("test"),
  }
  return { info, rows } satisfies Table
})
