/** The pre-flight table: the models, the result, what it costs, and every departure. */
import { at, atOr, entryOr } from "@hila/core/Lookup"
import { Checkpoint, Dtype } from "@hila/model"
import { elementsOf } from "../methods/Definition.ts"
import * as Reference from "../recipe/Reference.ts"
import * as Vocabulary from "../tokenizers/Vocabulary.ts"
import * as Departures from "./Departures.ts"
import type { Model, OutputTensor } from "./Plan.ts"
import type { Prepared } from "./Prepared.ts"

/** Pre-flight as data. */
export interface Report {
  readonly models: ReadonlyArray<ModelLine>
  readonly tensors: number
  readonly parameters: number
  readonly dtypes: string
  readonly methods: Readonly<Record<string, number>>
  /** Bytes of weights that will be written. */
  readonly diskBytes: number
  /** The most resident memory the merge will take. */
  readonly memoryBytes: number
  readonly notes: ReadonlyArray<string>
}

/** A model of the merge in numbers. */
export interface ModelLine {
  readonly role: string
  readonly model: string
  readonly tensors: number
  readonly parameters: number
  readonly dtypes: string
  /** Rows of the embedding. */
  readonly vocabulary: number | undefined
  readonly bytes: number
}

/** Bytes of the weights of the result. */
export const bytesOf = (tensors: ReadonlyArray<OutputTensor>): number =>
  tensors.reduce((sum, { dtype, shape }) => sum + Dtype.byteLength(dtype, elementsOf(shape)), 0)

const dtypesOf = (tensors: Iterable<{ readonly dtype: string }>): string =>
  [...new Set([...tensors].map(({ dtype }) => dtype))].join(", ")

const lineOf = (role: string, { checkpoint, reference }: Model): ModelLine => {
  const infos = [...checkpoint.tensors.values()]
  return {
    role,
    model: Reference.text(reference),
    tensors: infos.length,
    parameters: Checkpoint.parameterCount(checkpoint),
    dtypes: dtypesOf(infos),
    vocabulary: Vocabulary.of(checkpoint).rows,
    bytes: infos.reduce((sum, { byteLength }) => sum + byteLength, 0),
  }
}

/** The report of a prepared merge. */
export const of = (prepared: Prepared, memoryBytes: number): Report => {
  const { models, sliced, tensors } = prepared
  const base = sliced.base === undefined ? undefined : Reference.text(sliced.base)
  const methods: Record<string, number> = {}
  for (const { method } of tensors) methods[method ?? "copy"] = entryOr(methods, method ?? "copy", 0) + 1
  return {
    models: [...models].map(([text, model]) => lineOf(text === base ? "base" : "model", model)),
    tensors: tensors.length,
    parameters: tensors.reduce((sum, { shape }) => sum + elementsOf(shape), 0),
    dtypes: dtypesOf(tensors),
    methods,
    diskBytes: bytesOf(tensors),
    memoryBytes,
    notes: Departures.of(prepared),
  }
}

/** A number of bytes for people. */
export const bytesText = (bytes: number): string =>
  bytes >= 1e9
    ? `${(bytes / 1e9).toFixed(2)} GB`
    : bytes >= 1e6
      ? `${(bytes / 1e6).toFixed(1)} MB`
      : `${(bytes / 1e3).toFixed(1)} kB`

/** A number of parameters for people. */
export const countText = (count: number): string =>
  count >= 1e9
    ? `${(count / 1e9).toFixed(2)} B`
    : count >= 1e6
      ? `${(count / 1e6).toFixed(2)} M`
      : `${(count / 1e3).toFixed(1)} k`

/** Rows of text with columns of one width. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = atOr(rows, 0, []).map((_, column) =>
    Math.max(...rows.map((row) => atOr(row, column, "").length)),
  )
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(at(widths, column)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

/** The report for people. */
export const render = ({
  diskBytes,
  dtypes,
  memoryBytes,
  methods,
  models,
  notes,
  parameters,
  tensors,
}: Report): string => {
  const rows = [
    ["", "model", "tensors", "parameters", "dtype", "vocabulary", "size"],
    ...models.map((line) => [
      line.role,
      line.model,
      String(line.tensors),
      countText(line.parameters),
      line.dtypes,
      line.vocabulary === undefined ? "" : String(line.vocabulary),
      bytesText(line.bytes),
    ]),
    [
      "result",
      Object.entries(methods)
        .map(([name, count]) => `${name} ×${count}`)
        .join(", "),
      String(tensors),
      countText(parameters),
      dtypes,
      "",
      bytesText(diskBytes),
    ],
  ]
  const needs = `needs ${bytesText(diskBytes)} of disk and at most ${bytesText(memoryBytes)} of memory`
  return [table(rows), needs, ...notes.map((note) => `note: ${note}`)].join("\n")
}
