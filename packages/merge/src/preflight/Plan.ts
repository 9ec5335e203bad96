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
import * as TensorName from "../recipe/TensorName.ts"
import * as Value from "../recipe/Value.ts"
import type { Adapter } from "../adapters/Adapter.ts"
import type * as Heads from "./Heads.ts"
import * as Overrides from "./Overrides.ts"
import * as Statistics from "./Statistics.ts"
import type * as Tables from "./Tables.ts"
import type * as View from "./View.ts"

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

/** A tensor of the result and what it is called in each source. */
interface Place {
  readonly subject: Value.Subject
  readonly slice: Slices.Slice
  readonly nameIn: (source: Slices.Source) => string
  /** Its name in the model that the result is like. */
  readonly reference: string
}

/** The model whose config and tokenizer the result gets: the base, else the first. */
export const likeOf = ({ models, sliced }: Pick<Input, "models" | "sliced">): Model => {
  const text = Reference.text(sliced.base ?? sliced.slices[0]!.sources[0]!.reference)
  return models.get(text)!
}

/** The tensors of the result in order; fails at the first that does not fit. */
export const make = Effect.fnUntraced(function* (
  input: Input,
): Effect.fn.Return<ReadonlyArray<OutputTensor>, MergeError | RecipeError> {
  const { located, sliced } = input
  const places = yield* placesOf(input)
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

const placesOf = Effect.fnUntraced(function* (input: Input) {
  const { models, sliced } = input
  const [first] = sliced.slices
  const last = sliced.slices.at(-1)
  if (first === undefined || last === undefined) return []
  for (const slice of sliced.slices) yield* checkNames(input, slice)
  const outside = (slice: Slices.Slice) => {
    const source = slice.base ?? slice.sources[0]!
    return namesOf(models, source).filter((name) => TensorName.layerOf(name) === undefined)
  }
  const fixed = (slice: Slices.Slice, tensor: string): Place => ({
    subject: { tensor, layer: undefined, t: 0 },
    slice,
    nameIn: () => tensor,
    reference: tensor,
  })
  const places = outside(first)
    .filter(TensorName.isEmbedding)
    .map((name) => fixed(first, name))
  let offset = 0
  for (const slice of sliced.slices) {
    const source = slice.base ?? slice.sources[0]!
    const names = namesOf(models, source)
    const [start, end] = yield* rangeOf(input, source, names)
    for (const name of names) {
      const at = TensorName.layerOf(name)
      if (at === undefined || at.layer < start || at.layer >= end) continue
      places.push(layered(slice, at, offset, start, end))
    }
    for (const other of Slices.everySource(slice)) yield* rangeOf(input, other, namesOf(models, other))
    offset += end - start
  }
  return [
    ...places,
    ...outside(last)
      .filter((name) => !TensorName.isEmbedding(name))
      .map((name) => fixed(last, name)),
  ]
})

const layered = (
  slice: Slices.Slice,
  { after, before, layer }: TensorName.InLayer,
  offset: number,
  start: number,
  end: number,
): Place => {
  const inner = layer - start
  const t = end - start === 1 ? 1 : inner / (end - start - 1)
  const tensor = `${before}.${offset + inner}.${after}`
  return {
    subject: { tensor, layer: offset + inner, t },
    slice,
    nameIn: ({ range }) => `${before}.${(range?.[0] ?? 0) + inner}.${after}`,
    reference: `${before}.${layer}.${after}`,
  }
}

const tensorsOf = (models: Input["models"], { reference }: Slices.Source) =>
  entry(models, Reference.text(reference)).checkpoint.tensors

const namesOf = (models: Input["models"], source: Slices.Source) => [...tensorsOf(models, source).keys()]

/** Those that every model has to have. */
const needed = (models: Input["models"], source: Slices.Source) =>
  [...tensorsOf(models, source).values()].filter((info) => !Buffers.is(info)).map(({ name }) => name)

const rangeOf = Effect.fnUntraced(function* (
  { located }: Input,
  { path, range, reference }: Slices.Source,
  names: ReadonlyArray<string>,
) {
  const layers = TensorName.layersOf(names)
  if (range === undefined) return [0, layers] as const
  if (range[1] <= layers) return range
  return yield* located.error(
    [...path, "layer_range"],
    `${Reference.text(reference)} has ${layers} layers, [0, ${layers}); the range ends at ${range[1]}`,
  )
})

/** Every source of whole models must have the tensors of the first; of ranges, each tensor is looked up. */
const checkNames = Effect.fnUntraced(function* ({ located, models }: Input, slice: Slices.Slice) {
  const [first, ...others] = Slices.everySource(slice)
  if (first === undefined || first.range !== undefined) return
  const names = needed(models, first)
  const known = new Set(names)
  for (const other of others) {
    const own = needed(models, other)
    const present = new Set(own)
    const [a, b] = [Reference.text(first.reference), Reference.text(other.reference)]
    const missing = names.find((name) => !present.has(name))
    const extra = own.find((name) => !known.has(name))
    if (missing !== undefined)
      return yield* located.error(other.path, `tensor ${missing} is missing in ${b}; ${a} has it`)
    if (extra !== undefined)
      return yield* located.error(other.path, `${b} has the tensor ${extra}; ${a} has no such tensor`)
  }
})

const tensorOf = Effect.fnUntraced(function* (
  input: Input,
  place: Place,
): Effect.fn.Return<OutputTensor, MergeError | RecipeError> {
  const { located, models } = input
  const { subject } = place
  const slice = Slices.viewOf(place.slice, Overrides.methodOf(located, subject))
  const info = Effect.fnUntraced(function* (source: Slices.Source) {
    const name = place.nameIn(source)
    const found = models.get(Reference.text(source.reference))!.checkpoint.tensors.get(name)
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
  const first = infos[0]!
  for (const [index, got] of infos.entries()) {
    const problem = mismatch(
      Reference.text(all[0]!.reference),
      first,
      Reference.text(all[index]!.reference),
      got,
    )
    if (problem !== undefined) return yield* located.error(all[index]!.path, problem)
  }
  const { shape } = first
  if (!Dtype.isFloat(first.dtype)) return copied(subject, first, base, inputs)
  const { name, units, values } = yield* Overrides.settings(input, place)
  const own = models.get(Reference.text(all[0]!.reference))!.original.tensors.get(first.name)?.dtype
  const dtype = outputDtype(located.recipe) ?? own ?? first.dtype
  const { masks, spans } = input.tables
  const weighed = definitions[name].taskVectors
  const statistics = yield* Statistics.ofTensor(located, input.statistics, {
    method: name,
    name: subject.tensor,
    shape,
    sources: slice.sources,
    nameIn: place.nameIn,
    embedding: values["embedding"] === true,
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
