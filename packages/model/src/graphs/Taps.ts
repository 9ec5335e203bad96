/**
 * Finds, in a decoder that has been written, what its linear layers and norms read and return.
 *
 * Nodes are followed from the weights on, so nothing of the decoder has to know that it is watched. What layers with a
 * fused tensor return is put together in the order of that tensor, whatever blocks each projection has of it.
 */
import { entryOr, known } from "@hila/core/Lookup"
import type { ModelShape, Norm, Projection } from "../architectures/ModelShape.ts"
import type { Builder, Node, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import type { Blocks, Weights } from "./Weights.ts"

type Real = Value<"f32">

/** A linear layer, x·Wᵀ, or several that have one tensor. */
export interface Linear {
  readonly weight: string
  /** [..., in] */
  readonly input: Real
  /** What each projection returns before its bias, [..., out], and which outputs of the tensor these are. */
  readonly parts: ReadonlyArray<{ readonly output: Real; readonly blocks: Blocks | undefined }>
}

export interface Taps {
  /** Linear layers of all layers by tensor, in the order of the model. */
  readonly linears: ReadonlyArray<Linear>
  /** The output head. */
  readonly head: Linear
  /** What goes into each norm, [..., size], before anything is subtracted. */
  readonly norms: ReadonlyArray<{ readonly weight: string; readonly input: Real }>
}

/** The linear layers of all layers, in the order of the model. */
export const projections = (shape: ModelShape): ReadonlyArray<Projection> =>
  shape.layers.flatMap(({ down, gate, key, output, query, up, value }) => [
    query,
    key,
    value,
    output,
    ...(gate === undefined ? [] : [gate]),
    up,
    down,
  ])

/** Weights, and every value that was made of them under its name. */
export const watched = (
  weights: Weights,
): {
  readonly weights: Weights
  readonly made: ReadonlyMap<string, ReadonlyMap<Value, Blocks | undefined>>
} => {
  const made = new Map<string, Map<Value, Blocks | undefined>>()
  return {
    made,
    weights: {
      ...weights,
      tensor: (name, shape, owner, blocks) => {
        const value = weights.tensor(name, shape, owner, blocks)
        const values = entryOr(made, name, new Map<Value, Blocks | undefined>())
        made.set(name, values.set(value, blocks))
        return value
      },
    },
  }
}

/** The taps of the decoder written into `builder` over `watched` weights. */
export const find = (
  builder: Builder,
  shape: ModelShape,
  made: ReadonlyMap<string, ReadonlyMap<Value, Blocks | undefined>>,
): Taps => {
  const readers = new Map<Value, Array<Node>>()
  const writers = new Map<Value, Node>()
  for (const node of builder.nodes()) {
    for (const input of new Set(node.inputs)) readers.set(input, [...entryOr(readers, input, []), node])
    for (const output of node.outputs) writers.set(output, node)
  }
  const reads = (value: Value, operator: string) =>
    entryOr(readers, value, []).filter((node) => node.operator === operator)
  const real = (value: Value | undefined, what: string): Real =>
    value?.type === "f32" ? (value as Real) : builder.fail("Taps", `${what} is not read as expected`)

  const linear = (weight: string): Linear => {
    const uses = [...entryOr(made, weight, [])].flatMap(([value, blocks]) =>
      [value, ...reads(value, "Transpose").flatMap(({ outputs }) => outputs)]
        .flatMap((side) => reads(side, "MatMul").filter(({ inputs }) => inputs[1] === side))
        .map(({ inputs, outputs }) => ({ input: inputs[0], output: real(outputs[0], weight), blocks })),
    )
    const input = real(uses[0]?.input, weight)
    if (uses.some((use) => use.input !== input)) builder.fail("Taps", `${weight} has several inputs`)
    return { weight, input, parts: uses }
  }
  const norm = ({ weight }: Norm) => {
    const [value] = [...entryOr(made, weight, new Map<Value, undefined>()).keys()]
    const scales = value === undefined ? [] : [value, ...reads(value, "Add").flatMap((node) => node.outputs)]
    const unit = scales.flatMap((scale) => reads(scale, "Mul"))[0]?.inputs[0]
    const centred = unit === undefined ? undefined : writers.get(unit)?.inputs[0]
    const origin = shape.norm === "layer" && centred !== undefined ? writers.get(centred)?.inputs[0] : centred
    return { weight, input: real(origin, weight) }
  }

  const norms = shape.layers.flatMap((tensors) => Object.values(tensors.norms))
  const { finalNorm, head } = shape.tensors
  const weights = projections(shape).map((projection) => projection.weight)
  return {
    linears: [...new Set(weights)].map(linear),
    head: linear(head),
    norms: [...norms, finalNorm].map(norm),
  }
}

/** What the projections of a tensor return, each [rows, its outputs], in the order of the tensor, [rows, out]. */
export const joined = (
  parts: ReadonlyArray<{ readonly value: Real; readonly blocks: Blocks | undefined }>,
): Real => {
  const sorted = parts.toSorted((a, b) => (a.blocks?.offset ?? 0) - (b.blocks?.offset ?? 0))
  const [first, ...rest] = sorted
  if (first === undefined || rest.length === 0) return known(first).value
  const contiguous = sorted.every(
    ({ blocks }) => known(blocks).count === 1 || known(blocks).stride === known(blocks).size,
  )
  if (contiguous) return Op.concat([first.value, ...rest.map(({ value }) => value)], 1)
  // Interleaved: block i of every projection lies together.
  const apart = ({ blocks, value }: (typeof sorted)[number]) =>
    Op.reshape(value, [Op.dim(value, 0), known(blocks).count, known(blocks).size])
  const together = Op.concat([apart(first), ...rest.map(apart)], 2)
  return Op.reshape(together, [
    Op.dim(together, 0),
    Number(Op.dim(together, 1)) * Number(Op.dim(together, 2)),
  ])
}
