/**
 * Pre-flight: whether models fit together, from their headers and the few integers they hold, before a weight is read.
 *
 * Models are merged by tensor name, so this needs no architecture. Shapes that differ are refused, never skipped or
 * cropped. A head that is the embedding under a second name (tied weights) is merged once and written once.
 */
import { at, entry } from "@hila/core/Lookup"
import { Buffers, type Checkpoint, Dtype, type Safetensors, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError } from "./MergeError.ts"
import * as Meaning from "./plan/Meaning.ts"
import * as Numbers from "./plan/Numbers.ts"
import * as View from "./names/View.ts"
import * as SameTokens from "./tokenizers/SameTokens.ts"

/** A model and its part in the merge, `"base"` or `"expert 2"`, for error messages. */
export interface Participant {
  readonly role: string
  readonly checkpoint: Checkpoint.Checkpoint
}

/** A tensor of the output: where it comes from, in the order of the participants. */
export interface PlannedTensor {
  /** Name, dtype and shape of the output: those of the first participant. */
  readonly info: Safetensors.TensorInfo
  readonly inputs: ReadonlyArray<Safetensors.TensorInfo>
  /** The dtype to compute with and write; undefined for a tensor of integers, which is copied from the first. */
  readonly dtype: Dtype.FloatDtype | undefined
}

/** Inputs that do not fit, as an error that fails an effect when it is yielded. */
export const refusal = (method: string, input: string, problem: string): MergeError =>
  new MergeError({ method, input, problem })

/** The tensors of the merge in the first participant's order; fails at the first tensor that does not fit. */
export const plan = Effect.fnUntraced(function* (
  method: string,
  participants: readonly [Participant, ...ReadonlyArray<Participant>],
): Effect.fn.Return<ReadonlyArray<PlannedTensor>, MergeError | SafetensorsError> {
  for (const { checkpoint, role } of participants) yield* Numbers.checkModel(method, role, checkpoint)
  const [first, ...others] = yield* alike(method, participants)
  const refuse = (input: string, problem: string, tensor?: string) =>
    new MergeError({ method, input, problem, ...(tensor === undefined ? {} : { tensor }) })

  const names = needed(first.checkpoint)
  const known = new Set(names)
  for (const { checkpoint, role } of others) {
    const own = needed(checkpoint)
    const present = new Set(own)
    const missing = names.find((name) => !present.has(name))
    if (missing !== undefined) {
      return yield* refuse(
        role,
        `missing; ${first.role} has it. Models must be fine-tuned from one base`,
        missing,
      )
    }
    const extra = own.find((name) => !known.has(name))
    if (extra !== undefined) {
      return yield* refuse(
        role,
        `unexpected; ${first.role} has no such tensor. Models must be fine-tuned from one base`,
        extra,
      )
    }
  }

  const planned: Array<PlannedTensor> = []
  for (const [name, leading] of first.checkpoint.tensors) {
    if (Buffers.is(leading)) {
      planned.push({ info: leading, inputs: [leading], dtype: undefined })
      continue
    }
    const inputs: Array<Safetensors.TensorInfo> = []
    for (const { checkpoint, role } of [first, ...others]) {
      const info = entry(checkpoint.tensors, name)
      const problem = mismatch(first.role, inputs[0] ?? info, info)
      if (problem !== undefined) return yield* refuse(role, problem, name)
      inputs.push(info)
    }
    const info = at(inputs, 0)
    planned.push({ info, inputs, dtype: Dtype.isFloat(info.dtype) ? info.dtype : undefined })
  }
  const { refused } = yield* SameTokens.among(
    participants.map(({ checkpoint, role }) => ({ name: role, checkpoint })),
  )
  if (refused !== undefined) {
    const problem = `${refused.problem}: their rows would be mixed. Bring them to one vocabulary first, by a recipe with tokenizer_source`
    return yield* refuse(refused.name, problem)
  }
  yield* Meaning.check([first, ...others], refuse)
  yield* Numbers.checkIntegers(
    method,
    planned.map(({ info, inputs }) => [info, ...inputs.slice(1)]),
  )
  return planned
})

/** What makes a tensor unfit to be merged with the first model's; undefined when nothing does. */
const mismatch = (
  role: string,
  expected: Safetensors.TensorInfo,
  got: Safetensors.TensorInfo,
): string | undefined => {
  const [wanted, shape] = [expected.shape.join(", "), got.shape.join(", ")]
  if (wanted !== shape) return `shape [${shape}], expected [${wanted}] as in ${role} (${got.file})`
  if (!Dtype.isFloat(got.dtype) && !isInteger(got.dtype)) {
    return `dtype ${got.dtype} cannot be merged; convert the model to F32, F16 or BF16 (${got.file})`
  }
  if (Dtype.isFloat(expected.dtype) !== Dtype.isFloat(got.dtype)) {
    return `dtype ${got.dtype}, expected ${expected.dtype} as in ${role} (${got.file})`
  }
  return undefined
}

const isInteger = (dtype: Dtype.Dtype) => /^(?:BOOL|[IU]\d+)$/.test(dtype)

/** The participants under the first one's names. The config is carried as it is, so none may be untied by the merge. */
const alike = Effect.fnUntraced(function* (
  method: string,
  participants: readonly [Participant, ...ReadonlyArray<Participant>],
) {
  const { names, untied } = yield* View.of(participants)
  const [first, ...others] = participants
  if (untied) {
    const problem =
      "some models have a head of their own, and the first ties its to the embedding: merge them by a recipe, which unties the result"
    return yield* refusal(method, first.role, problem)
  }
  const seen = ({ checkpoint, role }: Participant, index: number): Participant => ({
    role,
    checkpoint: View.apply(checkpoint, at(names, index)),
  })
  return [seen(first, 0), ...others.map((other, index) => seen(other, index + 1))] as const
})

/** The tensors that every model has to have. */
const needed = ({ tensors }: Checkpoint.Checkpoint): ReadonlyArray<string> =>
  [...tensors.values()].filter((info) => !Buffers.is(info)).map(({ name }) => name)

/** A base and its experts as participants. */
export const baseAndExperts = (
  base: Checkpoint.Checkpoint,
  experts: ReadonlyArray<Checkpoint.Checkpoint>,
): readonly [Participant, ...ReadonlyArray<Participant>] => [
  { role: "base", checkpoint: base },
  ...experts.map((checkpoint, index) => ({ role: `expert ${index + 1}`, checkpoint })),
]
