/** Where the tests find the micro family, and the reference material that lies beside the repository. */
import { Checkpoint, type CheckpointError, Dtype, type Example, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export const shared = new URL("../../../../shared/", import.meta.url)
export const hasShared = existsSync(shared)

export const checkpointPath = (member: string) =>
  fileURLToPath(new URL(`../../../fixtures/micro/${member}`, import.meta.url))

/** Reference scores of one expert, computed in float32; every array is per sample, in nats. */
export interface Oracle {
  /** Points of the path-integrated scores. */
  readonly quadrature: number
  readonly sensitivity: { readonly groups: Readonly<Record<string, ReadonlyArray<number>>> }
  readonly logitDistance: { readonly others: Readonly<Record<string, ReadonlyArray<number>>> }
  readonly samples: ReadonlyArray<{
    readonly prompt: string
    readonly tokens: ReadonlyArray<number>
    readonly promptLength: number
  }>
  readonly lossBase: ReadonlyArray<number>
  readonly lossExpert: ReadonlyArray<number>
  readonly units: ReadonlyArray<{
    readonly kind: string
    readonly layer: number
    readonly index: number
    readonly revert: ReadonlyArray<number>
    readonly add: ReadonlyArray<number>
    readonly ablate: ReadonlyArray<number>
    readonly pathIntegrated: ReadonlyArray<number>
    readonly gateGradient: ReadonlyArray<number>
  }>
}

/** The reference scores of `<family>-<expert>`. */
export const oracleOf = (name: string): Oracle =>
  JSON.parse(readFileSync(new URL(`oracles/scoring/${name}.json`, shared), "utf8"))

/** The reference scores of an expert of the micro family. */
export const oracle = (expert: string): Oracle => oracleOf(`micro-${expert}`)

/** The oracle's samples as examples; their text is not needed for a loss. */
export const examples = ({ samples }: Oracle): ReadonlyArray<Example.Example> =>
  samples.map((sample) => ({ ...sample, response: "" }))

/** A new checkpoint like another whose weights are computed, in float32, one tensor at a time. */
export const written = (
  like: Checkpoint.Checkpoint,
  directory: string,
  values: (name: string) => Effect.Effect<Float32Array, SafetensorsError | CheckpointError>,
) =>
  Checkpoint.write(directory, {
    like,
    tensors: [...like.tensors.values()].map(({ name, shape }) => ({ name, dtype: "F32", shape })),
    data: ({ name }, write) =>
      Effect.flatMap(values(name), (tensor) => write(Dtype.fromFloat32(tensor, "F32"))),
  })
