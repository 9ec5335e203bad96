/**
 * Rotary positions (Su et al., 2021): pairs of entries of queries and keys are turned by angles that grow with the
 * position, so that their product depends on the distance alone.
 */
import type { Rope } from "../architectures/ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"

/** cos and sin of every rotary angle, [batch, 1, sequence, dims / 2]. */
export interface Rotary {
  readonly rope: Rope
  readonly cos: Value<"f32">
  readonly sin: Value<"f32">
}

/** The angle per position of each pair, [dims / 2]. */
export const frequencies = ({ dims, scaling, theta }: Rope): Float32Array =>
  Float32Array.from({ length: dims / 2 }, (_, i) => {
    const plain = theta ** ((-2 * i) / dims)
    switch (scaling?.type) {
      case undefined:
        return plain
      case "linear":
        return plain / scaling.factor
      case "llama3": {
        // Frequencies with few turns in the original context are stretched, those with many are not (Llama 3, 2024).
        const { factor, highFactor, lowFactor, originalPositions } = scaling
        const turns = (originalPositions * plain) / (2 * Math.PI)
        const kept = clamp((turns - lowFactor) / (highFactor - lowFactor))
        return kept * plain + (1 - kept) * (plain / factor)
      }
      case "yarn": {
        // The same by a ramp over the pairs, between those with betaFast and betaSlow turns (Peng et al., 2023).
        const { betaFast, betaSlow, factor, originalPositions, truncate } = scaling
        const pairWith = (turns: number) =>
          (dims * Math.log(originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
        const [from, to] = [pairWith(betaFast), pairWith(betaSlow)]
        const low = Math.max(truncate ? Math.floor(from) : from, 0)
        const high = Math.min(truncate ? Math.ceil(to) : to, dims - 1)
        const stretched = clamp((i - low) / (high === low ? 0.001 : high - low))
        return stretched * (plain / factor) + (1 - stretched) * plain
      }
    }
  })

const clamp = (x: number): number => Math.min(Math.max(x, 0), 1)

/** The rotation at `positions` [batch, sequence]. */
export const rotary = (builder: Builder, rope: Rope, positions: Value<"i32">): Rotary => {
  const [batch, sequence] = [Op.dim(positions, 0), Op.dim(positions, 1)]
  const at = Op.reshape(Op.cast(positions, "f32"), [batch, 1, sequence, 1])
  const angles = Op.mul(at, builder.constant(frequencies(rope)))
  const factor = rope.scaling?.type === "yarn" ? rope.scaling.attentionFactor : 1
  const scaled = (x: Value<"f32">) => (factor === 1 ? x : Op.mul(x, builder.constant(factor)))
  return { rope, cos: scaled(Op.cos(angles)), sin: scaled(Op.sin(angles)) }
}

/**
 * Rotates the leading entries of `x` [batch, heads, sequence, headDim]. Pairs of neighbours come out as halves: queries
 * and keys are reordered alike, so their products stay what they are.
 */
export const rotate = (x: Value<"f32">, { cos, rope, sin }: Rotary): Value<"f32"> => {
  const headDim = Number(Op.dim(x, -1))
  const rest = headDim - rope.dims
  const [turned = x, still] = rest === 0 ? [x] : Op.split(x, [rope.dims, rest], -1)
  const [first, second] = Op.halves(rope.pairs === "halves" ? turned : apart(turned), -1)
  const parts = [
    Op.sub(Op.mul(first, cos), Op.mul(second, sin)),
    Op.add(Op.mul(second, cos), Op.mul(first, sin)),
  ] as const
  return Op.concat(still === undefined ? parts : [...parts, still], -1)
}

/** Entries 0, 2, 4, …, then 1, 3, 5, … of the last axis. */
const apart = (x: Value<"f32">): Value<"f32"> => {
  const lead = x.shape.slice(0, -1)
  const half = Number(Op.dim(x, -1)) / 2
  const pairs = Op.reshape(x, [...lead, half, 2])
  const rank = lead.length
  return Op.reshape(Op.transpose(pairs, [...lead.keys(), rank + 1, rank]), x.shape)
}
