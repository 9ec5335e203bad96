/**
 * Parameters as inputs of a graph, so that training changes them between runs, and the gradients that come back.
 *
 * A table that is looked up (an embedding) never enters the graph: the rows a batch needs are fed, and their gradients
 * are added back to the table's outside of it, which costs what the batch holds and not what the table does.
 */
import { entry, known } from "@hila/core/Lookup"
import * as Weights from "@hila/model/graphs/Weights"
import type { Builder, Value } from "@hila/model/onnx/Graph"
import * as Batches from "@hila/model/runtime/Batches"
import * as Losses from "@hila/model/runtime/Losses"
import type { Tensors } from "@hila/model/runtime/Protocol"
import type { Parameters } from "./AdamW.ts"

/** A lookup: the table, and the input whose entries say which rows; row 0 where they are no input. */
interface Lookup {
  readonly input: string
  readonly table: string
  readonly indices: string
  readonly width: number
}

/** What a graph takes as inputs. */
export interface Fed {
  readonly tensors: Map<string, Value<"f32">>
  readonly lookups: Map<string, Lookup & { readonly value: Value<"f32"> }>
}

export const empty = (): Fed => ({ tensors: new Map(), lookups: new Map() })

/** Weights that are inputs of `builder`, noted in `fed`. */
export const weights = (builder: Builder, fed: Fed): Weights.Weights => ({
  tensor: Weights.cached((name, shape) => {
    const value = builder.input(name, "f32", shape)
    fed.tensors.set(name, value)
    return value
  }),
  rows: (table, shape, indices) => {
    const input = `rows of ${table}`
    const value = builder.input(input, "f32", [...indices.shape, ...shape.slice(1)])
    fed.lookups.set(input, { input, table, indices: indices.name, width: Number(shape[1]), value })
    return value
  },
})

/** Everything a gradient is wanted of, by the name of its output. */
export const variables = ({ lookups, tensors }: Fed): ReadonlyMap<string, Value<"f32">> =>
  new Map([
    ...[...tensors].map(([name, value]) => [`gradient of ${name}`, value] as const),
    ...[...lookups].map(([name, { value }]) => [`gradient of ${name}`, value] as const),
  ])

/** The parameters as inputs of a run; `scale` holds a factor per element of a lookup, for dropout. */
export const feeds = (
  { lookups, tensors }: Fed,
  parameters: Parameters,
  indices: Readonly<Record<string, Int32Array>>,
  dims: ReadonlyArray<number>,
): Tensors => {
  const out: Record<string, Tensors[string]> = {}
  for (const name of tensors.keys()) {
    const { data, shape } = entry(parameters, name)
    out[name] = Batches.float32(data.slice(), shape)
  }
  for (const { indices: by, input, table, width } of lookups.values()) {
    const source = entry(parameters, table).data
    const at = indices[by]
    if (at === undefined) {
      out[input] = Batches.float32(source.slice(0, width), [width])
      continue
    }
    const rows = new Float32Array(at.length * width)
    at.forEach((row, i) => rows.set(source.subarray(row * width, (row + 1) * width), i * width))
    out[input] = Batches.float32(rows, [...dims, width])
  }
  return out
}

/** Gradients by parameter from the outputs of a run; those of looked-up rows are summed into their tables. */
export const gradients = (
  { lookups, tensors }: Fed,
  parameters: Parameters,
  indices: Readonly<Record<string, Int32Array>>,
  outputs: Tensors,
): ReadonlyMap<string, Float32Array> => {
  const found = new Map<string, Float32Array>()
  for (const name of tensors.keys()) found.set(name, Losses.float32(outputs[`gradient of ${name}`]))
  for (const { indices: by, input, table, width } of lookups.values()) {
    const own = Losses.float32(outputs[`gradient of ${input}`])
    const before = found.get(table)
    const total = before === undefined ? new Float32Array(entry(parameters, table).data.length) : before
    found.set(table, total)
    // Without indices it was the first row that was fed, see `feeds`.
    const rows = indices[by] ?? Int32Array.of(0)
    rows.forEach((row, i) => {
      for (let j = 0; j < width; j++)
        total[row * width + j] = known(total[row * width + j]) + known(own[i * width + j])
    })
  }
  return found
}
