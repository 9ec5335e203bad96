/**
 * Weights in several files, and the index that says what is where.
 *
 * Where index and shards disagree and nothing is lost by it, they are read as transformers reads them, which takes every
 * tensor of every shard, and the disagreement is told. What a model needs and no shard has, and two different tensors of
 * one name, are refused.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Architecture from "../architectures/Architecture.ts"
import * as Buffers from "./Buffers.ts"
import * as JsonText from "./JsonText.ts"
import * as ModelConfig from "./ModelConfig.ts"
import { CheckpointError, type SafetensorsError } from "../ModelError.ts"
import * as Safetensors from "./Safetensors.ts"

/** The tensors of all shards, in the order of their data, and what was not as the index says. */
export interface Shards {
  readonly tensors: ReadonlyMap<string, Safetensors.TensorInfo>
  readonly remarks: ReadonlyArray<string>
}

const decode = Schema.decodeUnknownEffect(
  JsonText.fromText(Schema.Struct({ weight_map: Schema.Record(Schema.String, Schema.String) })),
)

/** Opens the shards that an index names; `path` is the index's own, and shards lie where `files` says. */
export const open = Effect.fnUntraced(function* (
  text: string,
  path: string,
  files: Readonly<Record<string, string>>,
  config: ModelConfig.ModelConfig,
): Effect.fn.Return<Shards, CheckpointError | SafetensorsError> {
  const refuse = (tensor: string, problem: string) =>
    new CheckpointError({ path, tensor, problem, blame: "input" })
  const { weight_map: weightMap } = yield* Effect.mapError(
    decode(text),
    ({ message }) => new CheckpointError({ path, problem: ModelConfig.oneLine(message), blame: "input" }),
  )
  const shards = new Map<string, Safetensors.Safetensors>()
  for (const [tensor, shard] of Object.entries(weightMap)) {
    if (shards.has(shard)) continue
    const file = Object.hasOwn(files, shard) ? files[shard] : undefined
    if (file === undefined) return yield* refuse(tensor, `its shard ${JSON.stringify(shard)} is missing`)
    shards.set(shard, yield* Safetensors.open(file))
  }
  const remarks: Array<string> = []
  const tensors = new Map<string, Safetensors.TensorInfo>()
  for (const [shard, file] of shards) {
    for (const [name, info] of file.tensors) {
      const other = tensors.get(name)
      if (other === undefined) tensors.set(name, info)
      else if (yield* Safetensors.sameBytes(other, info))
        remarks.push(`${name} stands in more than one shard, each time the same`)
      else
        return yield* refuse(
          name,
          `stands in two shards and differs (${other.file}, ${info.file}): which one counts depends on the reader; take the wrong one out`,
        )
      const place = Object.hasOwn(weightMap, name) ? weightMap[name] : undefined
      if (place === undefined)
        remarks.push(`${name} is in ${shard}, and the index does not name it: read all the same`)
      else if (place !== shard && shards.get(place)?.tensors.has(name) !== true)
        remarks.push(`${name} is in ${shard}, and not in ${place} as the index says`)
    }
  }
  const lost = Object.keys(weightMap).filter((name) => !tensors.has(name))
  for (const name of lost) {
    if (yield* needs(config, weightMap, name))
      return yield* refuse(name, `is not in its shard ${weightMap[name]}, nor in another`)
    remarks.push(`the index names ${name}, which no shard has and the model does not need: passed over`)
  }
  return { tensors, remarks }
})

/** Whether a model is incomplete without a tensor; without a record of its architecture all but buffers are needed. */
const needs = Effect.fnUntraced(function* (
  config: ModelConfig.ModelConfig,
  weightMap: Readonly<Record<string, string>>,
  name: string,
) {
  const tied = config["tie_word_embeddings"] === true && /(?:^|\.)(?:lm_head|embed_out)\.weight$/.test(name)
  if (Buffers.isNamed(name) || tied) return false
  // By what the index promises: a bias that a record takes or leaves is needed where it was there.
  const promised = { has: (other: string) => Object.hasOwn(weightMap, other) }
  const shapes = [
    yield* Effect.option(Architecture.resolve(config, promised)),
    yield* Effect.option(Architecture.resolveEncoder(config, promised)),
  ]
  return Option.match(Option.firstSomeOf(shapes), {
    onNone: () => true,
    onSome: ({ expected }) => expected.has(name),
  })
})
