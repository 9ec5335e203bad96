/**
 * A head that has been trained: its specification, parameters and learning curves, in one safetensors file.
 */
import { Artifact } from "@hila/core"
import { entry, last } from "@hila/core/Lookup"
import { Dtype, Safetensors, SafetensorsWriter } from "@hila/model"
import type { Builder } from "@hila/model/onnx/Graph"
import * as Graph from "@hila/model/onnx/Graph"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CollabError } from "../CollabError.ts"
import * as Random from "../Random.ts"
import type { Parameter, Parameters } from "../training/AdamW.ts"
import * as HeadGraph from "./HeadGraph.ts"
import { HeadSpec } from "./HeadSpec.ts"

/** One epoch: loss on the training rows, and what the validation rows say after it. */
export const Epoch = Schema.Struct({
  stage: Schema.String,
  epoch: Schema.Int,
  loss: Schema.Finite,
  validationNll: Schema.Finite,
  validationMacroF1: Schema.Finite,
})
export type Epoch = typeof Epoch.Type

const Description = Schema.Struct({ spec: HeadSpec, curve: Schema.Array(Epoch) })

export interface Head {
  readonly spec: HeadSpec
  readonly parameters: Parameters
  readonly curve: ReadonlyArray<Epoch>
}

/** A head's file. */
export const artifact = Artifact.file("head")

const key = "hila.head"

/** Writes a head to a new file. */
export const write = (path: string, { curve, parameters, spec }: Head) =>
  Effect.as(
    SafetensorsWriter.write(path, {
      metadata: { [key]: JSON.stringify({ spec, curve }) },
      tensors: [...parameters].map(([name, { shape }]) => ({ name, dtype: "F32", shape })),
      data: ({ name }, put) => {
        const { data } = entry(parameters, name)
        return put(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      },
    }),
    { path },
  )

/** Reads a head's file. */
export const read = Effect.fnUntraced(function* ({ path }: Artifact.FileHandle) {
  const { metadata, tensors } = yield* Safetensors.open(path)
  const { curve, spec } = yield* Effect.mapError(
    Schema.decodeUnknownEffect(Schema.fromJsonString(Description))(metadata[key]),
    () =>
      new CollabError({ subject: path, problem: `expected a head: metadata "${key}" is missing or wrong` }),
  )
  const parameters = new Map<string, Parameter>()
  for (const [name, info] of tensors) {
    parameters.set(name, {
      shape: info.shape,
      data: Dtype.toFloat32(yield* Safetensors.read(info), info.dtype as "F32"),
    })
  }
  return { spec, parameters, curve } satisfies Head
})

/** Parameters as a head begins with them, the same for the same seed. */
export const initial = (spec: HeadSpec, seed: number): Parameters => {
  const parameters = new Map<string, Parameter>()
  const note =
    (builder: Builder): HeadGraph.Source =>
    (name, shape, start) => {
      const random = Random.make(Random.seedOf(seed, name))
      const count = shape.reduce((product, n) => product * n, 1)
      const deviation = (shape.length === 0 ? 1 : last(shape)) ** -0.5
      const value = () => (start === "normal" ? deviation * random.normal() : start === "one" ? 1 : 0)
      if (!parameters.has(name)) {
        parameters.set(name, { shape, data: Float32Array.from({ length: count }, value) })
      }
      return builder.input(name, "f32", shape)
    }
  Graph.build("parameters", (builder) => {
    const { logProbabilities } = HeadGraph.forward(builder, spec, note(builder), false)
    return { logProbabilities }
  })
  return parameters
}

/** Scalars of a head. */
export const size = ({ parameters }: Pick<Head, "parameters">): number =>
  [...parameters.values()].reduce((sum, { data }) => sum + data.length, 0)
