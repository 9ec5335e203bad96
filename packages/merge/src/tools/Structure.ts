/**
 * What the record of a model's type says of config and tensors: whether they fit, and whether the model can be run.
 *
 * A type without a record, and what a record does not compute, is not odd: such a model is merged by its tensors' names.
 */
import {
  Architecture,
  ArchitectureError,
  Checkpoint,
  type EncoderShape,
  type ModelConfig,
  type ModelShape,
  Quantisation,
  TiedHead,
} from "@hila/model"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ties from "../names/Ties.ts"

/** A model against its record. */
export interface Structure {
  readonly oddities: ReadonlyArray<string>
  /** Why it cannot be run; undefined where it can. */
  readonly runs: string | undefined
  readonly shape?: EncoderShape | ModelShape | undefined
  readonly tied: boolean
}

/** Compares a model with its record; with `values`, a head that is stored beside the embedding as well. */
export const of = Effect.fnUntraced(function* (
  checkpoint: Checkpoint.Checkpoint,
  { values }: { readonly values: boolean },
): Effect.fn.Return<Structure> {
  const { config } = checkpoint
  const tied = yield* Ties.declared(config)
  const isEncoder = Architecture.kindOf(config.model_type) === "encoder"
  const known = yield* Effect.result(isEncoder ? encoder(checkpoint) : decoder(checkpoint, values))
  if (known._tag === "Success") return known.success
  // Of codes one oddity is told, and not that the architecture's tensors are missing besides.
  if (Quantisation.of(checkpoint) !== undefined)
    return { runs: "its weights are quantised", tied, oddities: [] }
  const error = known.failure
  if (error._tag === "ArchitectureError" && error.kind === "unknown")
    return { runs: "unknown model type, which is merged by the names of its tensors", tied, oddities: [] }
  return error._tag === "ArchitectureError" && error.kind === "unsupported"
    ? { runs: error.problem, tied, oddities: [] }
    : { runs: error.message, shape: yield* described(config, isEncoder), tied, oddities: [error.message] }
})

/** The shape that a config describes, whether or not the tensors are of that shape. */
const described = (
  config: ModelConfig.ModelConfig,
  isEncoder: boolean,
): Effect.Effect<EncoderShape | ModelShape | undefined> =>
  Effect.map(
    Effect.option<EncoderShape | ModelShape, ArchitectureError, never>(
      isEncoder ? Architecture.resolveEncoder(config) : Architecture.resolve(config),
    ),
    Option.getOrUndefined,
  )

const encoder = (checkpoint: Checkpoint.Checkpoint) =>
  Effect.map(Checkpoint.validateEncoder(checkpoint), (shape): Structure => ({
    shape,
    runs: undefined,
    tied: false,
    oddities: [],
  }))

const decoder = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, values: boolean) {
  yield* causal(checkpoint)
  const found = yield* Checkpoint.examine(checkpoint, values ? undefined : TiedHead.unread)
  const remark = TiedHead.remark(found)
  const { shape } = found
  const oddities = remark === undefined ? [] : [remark]
  return { shape, runs: undefined, tied: shape.tiedEmbeddings, oddities } satisfies Structure
})

/** Fails where a decoder has another head than the one that records describe. */
const causal = ({ config }: Checkpoint.Checkpoint): Effect.Effect<void, ArchitectureError> => {
  const [head] = config.architectures ?? []
  const other = head !== undefined && !/(?:ForCausalLM|LMHeadModel)$/.test(head)
  const problem = `is a ${head}, and decoders run as …ForCausalLM`
  const { model_type: modelType } = config
  return other && Architecture.kindOf(modelType) === "decoder"
    ? Effect.fail(new ArchitectureError({ modelType, kind: "unsupported", problem }))
    : Effect.void
}
