/**
 * What the parts of a model that are written into one graph share: its shape, where weights come from, gates, and
 * rotations and masks, each made when it is first needed.
 */
import type { Rope, Stack } from "../architectures/ModelShape.ts"
import type { Builder, Value } from "../onnx/Graph.ts"
import * as Attention from "./Attention.ts"
import * as Rotary from "./Rotary.ts"
import type { Use } from "./Use.ts"
import type { Weights } from "./Weights.ts"

/** Gates on unit outputs: 1 leaves a unit as it is, 0 ablates it. */
export interface OutputGates {
  /** [layers, heads], multiplies what each head adds through its columns of the output projection */
  readonly heads: Value<"f32">
  /** [layers], multiplies the output of the MLP, its bias included */
  readonly mlp: Value<"f32">
}

/** Where a layer's inputs stand in their sequences. */
export interface Places {
  /** i32 [batch, sequence] */
  readonly positions: Value<"i32">
  /** i32 [batch, total]: the positions of all keys, those of a cache first; padding lies beyond every query */
  readonly keyPositions: Value<"i32">
}

export interface Context<S extends Stack = Stack> {
  readonly builder: Builder
  readonly shape: S
  readonly weights: Weights
  readonly gates: OutputGates | undefined
  /** Sees every use of a weight and says what its output is from there on; absent: the output as it is. */
  readonly onUse?: (use: Use) => Value<"f32">
  /** The rotation of a layer; layers with the same rope have the same. */
  readonly rotary: (rope: Rope) => Rotary.Rotary
  /** What a layer's queries may see. */
  readonly visibility: (reach: number | undefined) => Value<"f32">
}

/** Where the inputs of a graph without a cache stand: adds `positions` and `keyPositions` i32 [batch, sequence]. */
export const places = (builder: Builder): Places => ({
  positions: builder.input("positions", "i32", ["batch", "sequence"]),
  keyPositions: builder.input("keyPositions", "i32", ["batch", "sequence"]),
})

/** Makes what several layers share once each. */
const once = <K, A>(make: (key: K) => A): ((key: K) => A) => {
  const known = new Map<string, A>()
  return (key) => {
    const text = JSON.stringify(key) ?? ""
    const value = known.get(text) ?? make(key)
    known.set(text, value)
    return value
  }
}

/** What the layers of one graph share: weights, gates, and rotations and masks as they are needed. */
export const make = <S extends Stack>(
  builder: Builder,
  shape: S,
  weights: Weights,
  { keyPositions, positions }: Places,
  gates?: OutputGates,
): Context<S> => ({
  builder,
  shape,
  weights,
  gates,
  rotary: once((rope) => builder.scoped("rotary", () => Rotary.rotary(builder, rope, positions))),
  visibility: once((reach) =>
    builder.scoped("mask", () =>
      Attention.visibility(builder, positions, keyPositions, { causal: shape.causal, reach }),
    ),
  ),
})

/** The output of a use of a weight, as `onUse` has it. */
export const used = ({ onUse }: Context, use: Use): Value<"f32"> =>
  onUse === undefined ? use.output : onUse(use)
