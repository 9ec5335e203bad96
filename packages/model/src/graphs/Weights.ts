/**
 * Where a decoder graph gets its weights from.
 *
 * The decoder asks for tensors by name and says to which unit each belongs; the source decides what they are: the
 * tensors of one checkpoint (`stored`), or a point between two checkpoints that moves with gates (`interpolated`).
 * Weights stay in their stored type in the file; the graph casts them to f32.
 */
import type { TensorInfo } from "../checkpoint/Safetensors.ts"
import * as ElementType from "../onnx/ElementType.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import type { Shape } from "../onnx/Shape.ts"

/** The unit a tensor belongs to; `axis` is the axis its heads lie along (0 = rows, 1 = columns). */
export type Owner =
  | { readonly _tag: "QueryHeads" | "KvHeads"; readonly layer: number; readonly axis: 0 | 1 }
  | { readonly _tag: "Mlp"; readonly layer: number }
  | { readonly _tag: "Residual" }

/** Blocks of a tensor along an axis: block i is `[offset + i · stride, offset + i · stride + size)`. */
export interface Blocks {
  readonly axis: 0 | 1
  readonly offset: number
  readonly stride: number
  readonly size: number
  readonly count: number
}

export interface Weights {
  /**
   * A tensor as f32, checked against the shape the architecture gives it; of a tensor that several projections share,
   * only some blocks, one behind the other.
   */
  readonly tensor: (name: string, shape: ReadonlyArray<number>, owner: Owner, blocks?: Blocks) => Value<"f32">
  /** Rows of a `[rows, width]` tensor, one per index: the lookup of an embedding. Always a residual tensor. */
  readonly rows: (name: string, shape: ReadonlyArray<number>, indices: Value<"i32">) => Value<"f32">
  /** x · Wᵀ for weights that are no f32 tensor by themselves; undefined where this one is. */
  readonly linear?: (x: Value<"f32">, name: string) => Value<"f32"> | undefined
}

/** The tensors of a checkpoint by name. */
export type Tensors = ReadonlyMap<string, TensorInfo>

/** A tensor as it is stored; fails when it is absent, of another shape, or of a type a graph cannot read. */
const read = (
  builder: Builder,
  tensors: Tensors,
  prefix: string,
  name: string,
  shape: ReadonlyArray<number>,
): Value<ElementType.StoredType> => {
  const info = tensors.get(name) ?? builder.fail("weight", `the checkpoint has no tensor "${name}"`)
  if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
    builder.fail("weight", `"${name}": expected [${shape.join(", ")}], got [${info.shape.join(", ")}]`)
  }
  const type =
    ElementType.fromDtype(info.dtype) ??
    builder.fail("weight", `"${name}": expected F32, F16 or BF16 weights, got ${info.dtype}`)
  return builder.weight(`${prefix}${name}`, type, shape, info)
}

/** The blocks of `x`, one behind the other along their axis. */
export const blocksOf = (x: Value<"f32">, { axis, count, offset, size, stride }: Blocks): Value<"f32"> => {
  const total = Number(Op.dim(x, axis))
  const taken = (of: Value<"f32">, at: number, start: number, length: number) => {
    const sizes = [start, length, Number(Op.dim(of, at)) - start - length]
    const parts = Op.split(
      of,
      sizes.filter((part) => part > 0),
      at,
    )
    return parts[start > 0 ? 1 : 0] ?? of
  }
  if (count === 1 || stride === size) return taken(x, axis, offset, count * size)
  const apart = Op.reshape(x, x.shape.toSpliced(axis, 1, total / stride, stride))
  return Op.reshape(taken(apart, axis + 1, offset, size), x.shape.with(axis, count * size))
}

/** Makes a tensor once: by name, and by which of its blocks. */
export const cached = (make: Weights["tensor"]): Weights["tensor"] => {
  const known = new Map<string, Value<"f32">>()
  return (name, shape, owner, blocks) => {
    const key = blocks === undefined ? name : `${name} ${Object.values(blocks).join(" ")}`
    const value = known.get(key) ?? make(name, shape, owner, blocks)
    known.set(key, value)
    return value
  }
}

/** The weights of one checkpoint, as they are. */
export const stored = (builder: Builder, tensors: Tensors, prefix = ""): Weights => {
  const whole = cached((name, shape) => Op.cast(read(builder, tensors, prefix, name, shape), "f32"))
  return {
    tensor: cached((name, shape, owner, blocks) =>
      blocks === undefined ? whole(name, shape, owner) : blocksOf(whole(name, shape, owner), blocks),
    ),
    rows: (name, shape, indices) =>
      Op.cast(Op.gather(read(builder, tensors, prefix, name, shape), indices, 0), "f32"),
  }
}

/** The gates of a delta graph: 0 is base, 1 is expert. */
export interface Gates {
  /** [layers, heads] */
  readonly queryHeads: Value<"f32">
  /** [layers, kvHeads] */
  readonly kvHeads: Value<"f32">
  /** [layers] */
  readonly mlp: Value<"f32">
  /** scalar: every tensor outside the units */
  readonly residual: Value<"f32">
}

/** expert − base, tensor by tensor. */
export const difference = (base: Weights, expert: Weights): Weights => ({
  tensor: cached((name, shape, owner, blocks) =>
    Op.sub(expert.tensor(name, shape, owner, blocks), base.tensor(name, shape, owner, blocks)),
  ),
  rows: (name, shape, indices) => Op.sub(expert.rows(name, shape, indices), base.rows(name, shape, indices)),
})

/** W = base + gate · delta, with the gate of the unit each row or column belongs to. */
export const interpolated = (builder: Builder, base: Weights, delta: Weights, gates: Gates): Weights => {
  const moved = (from: Value<"f32">, by: Value<"f32">, gate: Value<"f32">) => Op.add(from, Op.mul(gate, by))
  const ofLayer = (gate: Value<"f32">, layer: number) => Op.gather(gate, builder.indices(layer), 0)
  const gateOf = (owner: Owner, shape: Shape): Value<"f32"> => {
    switch (owner._tag) {
      case "Residual":
        return gates.residual
      case "Mlp":
        return ofLayer(gates.mlp, owner.layer)
      case "QueryHeads":
      case "KvHeads": {
        const gate = ofLayer(owner._tag === "QueryHeads" ? gates.queryHeads : gates.kvHeads, owner.layer)
        const [heads, size] = [Number(Op.dim(gate, 0)), Number(shape[owner.axis])]
        const headOf = Array.from({ length: size }, (_, i) => Math.floor((i * heads) / size))
        return Op.reshape(
          Op.gather(gate, builder.indices(headOf), 0),
          shape.map((_, i) => (i === owner.axis ? size : 1)),
        )
      }
    }
  }
  return {
    tensor: cached((name, stored, owner, blocks) => {
      const from = base.tensor(name, stored, owner, blocks)
      return moved(from, delta.tensor(name, stored, owner, blocks), gateOf(owner, from.shape))
    }),
    rows: (name, shape, indices) =>
      moved(base.rows(name, shape, indices), delta.rows(name, shape, indices), gates.residual),
  }
}
