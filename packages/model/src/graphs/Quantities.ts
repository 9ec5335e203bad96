/**
 * What can be measured in a decoder that is written into a graph: sums over parameters, over what layers read, over the
 * derivatives of what they return, and over the vocabulary. Which of them a kind of statistics has is `StatisticsGraph`'s
 * matter.
 */
import { at, known } from "@hila/core/Lookup"
import type { ModelShape } from "../architectures/ModelShape.ts"
import type * as Graph from "../onnx/Graph.ts"
import * as Op from "../onnx/Op.ts"
import { unseen } from "../runtime/Batches.ts"
import * as Covariance from "./Covariance.ts"
import { decoder } from "./Decoder.ts"
import * as Taps from "./Taps.ts"
import type { Owner, Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

type Real = Graph.Value<"f32">

/** One sum that leaves the graph. */
export interface Quantity {
  /** The tensors of the file that its mean is; several where layers read the same. */
  readonly names: readonly [string, ...ReadonlyArray<string>]
  readonly shape: ReadonlyArray<number>
  /** What the sum runs over: tokens that are read, tokens that are predicted, or examples. */
  readonly per: "token" | "prediction" | "example"
}

/** A quantity: whose derivatives it is made of, and how. */
export interface Measured extends Quantity {
  readonly variables: ReadonlyArray<Real>
  readonly write: (derivatives: ReadonlyArray<Real>) => Real
}

const residual: Owner = { _tag: "Residual" }

/** A decoder over its own weights, and what is made of them. */
export interface Watched {
  readonly builder: Graph.Builder
  readonly shape: ModelShape
  readonly weights: Weights.Weights
  readonly made: ReturnType<typeof Taps.watched>["made"]
  /** Lookups of the embedding. */
  readonly embedded: ReadonlyArray<{ readonly tokens: Graph.Value<"i32">; readonly output: Real }>
  readonly logLikelihood: Real
}

/** Writes a decoder without a cache. */
export const watch = (builder: Graph.Builder, shape: ModelShape, tensors: Tensors): Watched => {
  const stored = Weights.stored(builder, tensors)
  const embedded: Array<Watched["embedded"][number]> = []
  const { made, weights } = Taps.watched({
    ...stored,
    // Rows of the same f32 value that the head multiplies by, so that a tied table has one derivative.
    rows: (name, size, tokens) => {
      const output = Op.gather(stored.tensor(name, size, residual), tokens, 0)
      if (name === shape.tensors.embedding) embedded.push({ tokens, output })
      return output
    },
  })
  const { logLikelihood } = decoder(builder, shape, weights, { cache: false })
  return { builder, shape, weights: stored, made, embedded, logLikelihood }
}

/** Every parameter with its derivative, reduced element by element. */
export const ofParameters = (
  { shape, weights }: Watched,
  reduce: (parameter: Real, derivative: Real) => Real,
): ReadonlyArray<Measured> =>
  [...shape.expected].map(([name, size]) => {
    const parameter = weights.tensor(name, size, residual)
    return {
      names: [name],
      shape: size,
      per: "example",
      variables: [parameter],
      write: ([derivative]) => reduce(parameter, known(derivative)),
    }
  })

/** 1 at tokens, 0 at padding, [batch, sequence]. */
export const isToken = (builder: Graph.Builder): Real => {
  const keyPositions = builder
    .nodes()
    .flatMap(({ inputs }) => inputs)
    .find(({ name }) => name === "keyPositions")
  if (keyPositions?.type !== "i32") return builder.fail("Statistics", "keyPositions is no input")
  const seen = Op.lessOrEqual(keyPositions as Graph.Value<"i32">, builder.indices(unseen - 1))
  return Op.where(seen, builder.constant(1), builder.constant(0))
}

/** Behind the rows that are predicted there is no padding. */
const perOf = (x: Real) => (x.shape[0] === "rows" ? "prediction" : "token")

/** A value with 0 in place of padding. */
const shown = (x: Real, seen: Real): Real => {
  if (perOf(x) === "prediction") return x
  // [batch, heads, sequence, headDim] for norms of heads, else [batch, sequence, size].
  const aligned = x.shape.map((size, axis) => (axis === 0 || axis === x.shape.length - 2 ? size : 1))
  return Op.mul(x, Op.reshape(seen, aligned))
}

/** What weights read, `<weight>.<suffix>`: one quantity for all that read the same value in the same form. */
export const ofInputs = (
  seen: Real,
  suffix: string,
  readers: ReadonlyArray<{ readonly weight: string; readonly input: Real }>,
  form: (weight: string) => Covariance.Form | "magnitude",
): ReadonlyArray<Measured> =>
  [...Map.groupBy(readers, ({ input }) => input)].flatMap(([input, all]) =>
    [...Map.groupBy(all, ({ weight }) => form(weight))].map(([own, [first, ...rest]]): Measured => {
      const size = Number(Op.dim(input, -1))
      const nameOf = ({ weight }: { readonly weight: string }) => `${weight}.${suffix}`
      return {
        names: [nameOf(known(first)), ...rest.map(nameOf)],
        shape: own === "magnitude" ? [size] : Covariance.shapeOf(size, own),
        per: perOf(input),
        variables: [],
        write: () => {
          const x = shown(input, seen)
          return own === "magnitude" ? magnitude(x) : Covariance.of(Covariance.flat(x), own)
        },
      }
    }),
  )

/** The covariance of the derivatives of what a linear layer returns, those of a fused tensor as one. */
export const ofOutput = ({ parts, weight }: Taps.Linear, form: Covariance.Form): Measured => {
  const size = parts.reduce((sum, { output }) => sum + Number(Op.dim(output, -1)), 0)
  return {
    names: [`${weight}.outputGradient`],
    shape: Covariance.shapeOf(size, form),
    per: "token",
    variables: parts.map(({ output }) => output),
    write: (derivatives) =>
      Covariance.of(
        Taps.joined(parts.map(({ blocks }, i) => ({ blocks, value: Covariance.flat(at(derivatives, i)) }))),
        form,
      ),
  }
}

/** What the embedding reads and the output head makes of it. */
export const ofVocabulary = (
  { embedded, shape }: Watched,
  seen: Real,
  head: Taps.Linear,
): ReadonlyArray<Measured> => [
  ...embedded.flatMap(({ output, tokens }) => [
    frequency(shape, tokens, seen),
    derivativeOf(`${shape.tensors.embedding}.outputGradient`, "token", output, "full"),
  ]),
  ...ofInputs(seen, "headInput", [head], () => "full"),
  ...head.parts.map(({ output }) =>
    derivativeOf(`${shape.tensors.head}.headResidual`, "prediction", output, "diagonal"),
  ),
]

/** Σ g·gᵀ of the derivatives by one value. */
const derivativeOf = (name: string, per: Quantity["per"], value: Real, form: Covariance.Form): Measured => ({
  names: [name],
  shape: Covariance.shapeOf(Number(Op.dim(value, -1)), form),
  per,
  variables: [value],
  write: ([derivative]) => Covariance.of(Covariance.flat(known(derivative)), form),
})

/** How often each entry of the vocabulary is read. */
const frequency = (
  { tensors: { embedding }, vocabSize }: ModelShape,
  tokens: Graph.Value<"i32">,
  seen: Real,
): Measured => ({
  names: [`${embedding}.frequency`],
  shape: [vocabSize],
  per: "token",
  variables: [],
  write: () =>
    Op.scatterAdd(
      // Of what is like the result only the shape is read.
      { ...seen, shape: [vocabSize] },
      Op.reshape(tokens, ["batch*sequence"]),
      Op.reshape(seen, ["batch*sequence"]),
      0,
    ),
})

/** Σ |x| over all but the last axis, [size]; of norms that each head has, the mean over heads. */
const magnitude = (x: Real): Real => {
  const axes = [...x.shape.keys()].slice(0, -1)
  const total = Op.reshape(Op.sum(Op.abs(x), axes), [Op.dim(x, -1)])
  return x.shape.length < 4 ? total : Op.div(total, x.builder.constant(Number(Op.dim(x, 1))))
}
