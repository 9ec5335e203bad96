/** Runs methods on small tensors in memory, block by block and chunk by chunk as the engine does, with plain kernels. */
import * as Layout from "../src/engine/Layout.ts"
import type { AnyMethod, Block, ChunkCounts, Task } from "../src/engine/Method.ts"
import { kernels } from "../src/kernels/Reference.ts"
import type { Definition, Values } from "../src/methods/Definition.ts"

export interface Tensor {
  readonly name: string
  readonly shape: ReadonlyArray<number>
  readonly base?: Float32Array
  readonly models: ReadonlyArray<Float32Array>
}

/** The results for tensors that reduce together (or for one), `chunk` elements at a time. */
export const drive = (
  definition: Definition,
  values: Values,
  tensors: ReadonlyArray<Tensor>,
  chunk = 100,
): ReadonlyArray<Float32Array> => {
  const method: AnyMethod = definition.method(values)
  const elements = tensors.reduce((sum, { shape }) => sum + Layout.elementsOf(shape), 0)
  const works = tensors.map((tensor) => {
    const { base, models, name, shape } = tensor
    const layout = Layout.of(shape, method.block)
    const task: Task = {
      tensor: name,
      shape,
      elements,
      hasBase: base !== undefined,
      models: models.length,
      params: values,
    }
    return { tensor, task, layout, chunks: Layout.chunks(layout, chunk) }
  })
  const first = works[0]!.task
  let state = method.start(first)
  for (const pass of method.passes(first)) {
    const sums = new Float64Array(pass.sums ?? 0)
    const counts = new Float64Array(pass.counts ?? 0)
    const chunks: Array<ChunkCounts> = []
    for (const { chunks: pieces, layout, task, tensor } of works) {
      for (const piece of pieces) {
        const own = new Uint32Array(counts.length)
        const carry = method.carry(task, state, piece)
        for (const block of blocksOf(tensor, layout, piece)) {
          const part = new Float64Array(sums.length)
          pass.reduce(kernels, block, task, state, { sums: part, counts: own }, carry)
          for (const [i, value] of part.entries()) sums[i] = sums[i]! + value
        }
        const indices = Uint32Array.from([...own.keys()].filter((i) => own[i] !== 0))
        for (const i of indices) counts[i] = counts[i]! + own[i]!
        chunks.push({ tensor: task.tensor, start: piece.start, indices, counts: indices.map((i) => own[i]!) })
      }
    }
    state = structuredClone(pass.close(first, { sums, counts, chunks }, state))
  }
  return works.map(({ chunks, layout, task, tensor }) => {
    const result = new Float32Array(Layout.elementsOf(task.shape))
    for (const piece of chunks) {
      const carry = method.carry(task, state, piece)
      for (const block of blocksOf(tensor, layout, piece)) {
        method.combine(kernels, block, task, state, carry)
        result.set(block.out, block.start)
      }
    }
    return result
  })
}

const blocksOf = (
  { base, models }: Tensor,
  layout: Layout.Layout,
  { blocks, firstBlock }: Layout.Chunk,
): ReadonlyArray<Block> =>
  Array.from({ length: blocks }, (_, index) => {
    const place = Layout.place(layout, firstBlock + index)
    const size = place.rows * place.columns
    const cut = (values: Float32Array) => values.slice(place.start, place.start + size)
    return {
      ...place,
      base: base === undefined ? new Float32Array() : cut(base),
      models: models.map(cut),
      extras: [],
      masks: [],
      kept: new Uint8Array(), // so every phase draws again, and the engine, which keeps, must agree
      out: new Float32Array(size),
      temporary: (length = size) => new Float32Array(length).fill(Number.NaN),
      zeros: () => new Float32Array(size),
    }
  })

/** The values of a definition's parameters: the profile's defaults, and what is given. */
export const withDefaults = (
  { parameters }: Definition,
  profile: "tool" | "paper",
  models: number,
  given: Values,
): Values => {
  const values: Record<string, Values[string]> = { seed: 0 }
  for (const [name, parameter] of Object.entries(parameters)) {
    const standard = typeof parameter.default === "object" ? parameter.default[profile] : parameter.default
    if (standard === undefined) continue
    values[name] = parameter.level === "model" ? Array.from({ length: models }, () => standard) : standard
  }
  return { ...values, ...given }
}
