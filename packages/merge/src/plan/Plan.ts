/**
 * The plan of a recipe: every tensor of the result, from where, by which method, with which values.
 *
 * From headers and configs alone; no weight is read. Models are merged by tensor name. Whatever does not fit is refused
 * here: nothing is skipped or cropped.
 */
import { at, entry } from "@hila/core/Lookup"
import { Buffers, type Checkpoint, Dtype, type Hub, type Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import type { UnitSpan } from "../engine/Method.ts"
import { MergeError, type RecipeError } from "../MergeError.ts"
import type { Values } from "../methods/Definition.ts"
import type { Name } from "../methods/names.ts"
import { definitions } from "../methods/registry.ts"
import type { Located } from "../recipe/RecipeFile.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Slices from "../recipe/Slices.ts"
import * as TensorName from "../names/TensorName.ts"
import * as Value from "./Value.ts"
import type { Adapter } from "../adapters/Adapter.ts"
import type * as Heads from "./Heads.ts"
import * as Overrides from "./Overrides.ts"
import * as Places from "./Places.ts"
import * as Statistics from "./Statistics.ts"
import type * as Tables from "./Tables.ts"
import type * as View from "../names/View.ts"

/** A model of the merge. */
export interface Model {
  readonly reference: Reference.Reference
  /** As the merge sees it: with its adapter, and its rows in the result's order. */
  readonly checkpoint: Checkpoint.Checkpoint
  /** As it is on disk. */
  readonly original: Checkpoint.Checkpoint
  readonly adapter?: Adapter | undefined
  /** Where it lies, if it was named by a path. */
  readonly directory?: string | undefined
  /** What its tensors are called here; as they are stored unless given. */
  readonly names?: View.Names | undefined
  /** Where its weights are to be fetched from. */
  readonly hub?: Hub.Options | undefined
}

/** A tensor of the result. */
export interface OutputTensor {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly dtype: Dtype.Dtype
  readonly subject: Value.Subject
  readonly base: Safetensors.TensorInfo | undefined
  readonly models: ReadonlyArray<Safetensors.TensorInfo>
  /** Undefined where the tensor holds integers or is a buffer, which are copied from the base or the first model. */
  readonly method: Name | undefined
  readonly values: Values
  readonly units: ReadonlyArray<UnitSpan>
  /** A bit mask per model, or none at all. */
  readonly masks: ReadonlyArray<Safetensors.TensorInfo | undefined>
  /** The statistics that its method weighs it with. */
  readonly statistics: Statistics.Uses
  /** The result itself, where it was found by solving equations. */
  readonly solved?: Safetensors.TensorInfo | undefined
}

/** What a plan is made from. */
export interface Input {
  readonly located: Located
  readonly sliced: Slices.Sliced
  /** By the text of their references. */
  readonly models: ReadonlyMap<string, Model>
  /** Where heads lie, if some value depends on them. */
  readonly heads: Heads.Heads | undefined
  /** Coefficients and masks of task vectors. */
  readonly tables: Tables.Tables
  readonly statistics: Statistics.Statistics
}

/** Which model's config and tokenizer the result gets: the base's, else the first's. */
export const likeness = ({ base, slices }: Slices.Sliced): Reference.Reference =>
  base ?? at(at(slices, 0).sources, 0).reference

/** That model. */
export const likeOf = ({ models, sliced }: Pick<Input, "models" | "sliced">): Model =>
  entry(models, Reference.text(likeness(sliced)))

/** The tensors of the result in order; fails at the first that does not fit. */
export const make = Effect.fnUntraced(function* (
  input: Input,
): Effect.fn.Return<ReadonlyArray<OutputTensor>, MergeError | RecipeError> {
  const { located, sliced } = input
  const places = yield* Places.of(input)
  yield* Overrides.checkCounts(located, sliced)
  yield* Overrides.checkFilters(
    located,
    sliced,
    places.map(({ subject }) => subject),
    input.heads,
  )
  const planned: Array<OutputTensor> = []
  for (const place of places) planned.push(yield* tensorOf(input, place))
  return planned
})

const tensorOf = Effect.fnUntraced(function* (
  input: Input,
  place: Places.Place,
): Effect.fn.Return<OutputTensor, MergeError | RecipeError> {
  const { located, models } = input
  const { subject } = place
  const slice = Slices.viewOf(place.slice, Overrides.methodOf(located, subject))
  const info = Effect.fnUntraced(function* (source: Slices.Source) {
    const name = place.nameIn(source)
    const found = entry(models, Reference.text(source.reference)).checkpoint.tensors.get(name)
    return (
      found ??
      (yield* located.error(source.path, `tensor ${name} is missing in ${Reference.text(source.reference)}`))
    )
  })
  const all = [...(slice.base === undefined ? [] : [slice.base]), ...slice.sources]
  const leading = yield* info(at(all, 0))
  if (Buffers.is(leading)) return copied(subject, leading, undefined, [leading])
  const base = slice.base === undefined ? undefined : leading
  const inputs = yield* Effect.forEach(slice.sources, info)
  const infos = base === undefined ? inputs : [base, ...inputs]
  const first = at(infos, 0)
  for (const [index, got] of infos.entries()) {
    const problem = mismatch(
      Reference.text(at(all, 0).reference),
      first,
      Reference.text(at(all, index).reference),
      got,
    )
    if (problem !== undefined) return yield* located.error(at(all, index).path, problem)
  }
  const { shape } = first
  if (!Dtype.isFloat(first.dtype)) return copied(subject, first, base, inputs)
  const { name, units, values } = yield* Overrides.settings(input, place)
  const own = entry(models, Reference.text(at(all, 0).reference)).original.tensors.get(first.name)?.dtype
  const dtype = outputDtype(located.recipe) ?? own ?? first.dtype
  const { masks, spans } = input.tables
  const weighed = definitions[name].taskVectors
  const statistics = yield* Statistics.ofTensor(located, input.statistics, {
    method: name,
    name: subject.tensor,
    shape,
    sources: slice.sources,
    nameIn: place.nameIn,
    embedding: definitions[name].embedding?.(values) === true,
  })
  return {
    name: subject.tensor,
    shape,
    subject,
    base,
    models: inputs,
    dtype,
    method: name,
    values,
    units: weighed ? [...units, ...spans(subject.tensor, shape)] : units,
    masks: weighed ? masks(subject.tensor) : [],
    statistics,
  }
})

/** A tensor that no method computes. */
const copied = (
  subject: Value.Subject,
  { dtype, shape }: Safetensors.TensorInfo,
  base: Safetensors.TensorInfo | undefined,
  models: ReadonlyArray<Safetensors.TensorInfo>,
): OutputTensor => ({
  name: subject.tensor,
  shape,
  dtype,
  subject,
  base,
  models,
  method: undefined,
  values: {},
  units: [],
  masks: [],
  statistics: Statistics.none,
})

const dtypes = { float64: "F64", float32: "F32", float16: "F16", bfloat16: "BF16" } as const

/** The dtype that the recipe wants its floats in, if it says so. */
export const outputDtype = ({ dtype, out_dtype }: Located["recipe"]): Dtype.FloatDtype | undefined => {
  const name = out_dtype ?? dtype ?? undefined
  return name === undefined ? undefined : dtypes[name]
}

/** What makes a tensor unfit to be merged with the first model's. */
const mismatch = (
  first: string,
  expected: Safetensors.TensorInfo,
  role: string,
  got: Safetensors.TensorInfo,
): string | undefined => {
  const [wanted, shape] = [expected.shape.join(", "), got.shape.join(", ")]
  const tensor = `tensor ${got.name}`
  if (wanted !== shape) {
    const rows = expected.shape.slice(1).join() === got.shape.slice(1).join()
    return rows && (TensorName.isEmbedding(got.name) || TensorName.isHead(got.name))
      ? `${tensor} of ${role} has a vocabulary of ${got.shape[0]}, ${first} one of ${expected.shape[0]}: say which to take with tokenizer_source (base, union or a model)`
      : `${tensor} of ${role} has shape [${shape}], expected [${wanted}] as in ${first} (${got.file})`
  }
  if (Dtype.isFloat(expected.dtype) !== Dtype.isFloat(got.dtype)) {
    return `${tensor} of ${role} is ${got.dtype}, expected ${expected.dtype} as in ${first} (${got.file})`
  }
  if (!Dtype.isFloat(got.dtype) && !/^(?:BOOL|[IU]\d+)$/.test(got.dtype)) {
    return `${tensor} of ${role} is ${got.dtype}, which cannot be merged: convert the model to F32, F16 or BF16 (${got.file})`
  }
  return undefined
}
