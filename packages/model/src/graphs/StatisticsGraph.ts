/**
 * What weights meet on data, reduced inside the graph: squares of gradients, covariances of what linear layers read
 * and of the derivatives of what they return, mean magnitudes.
 *
 * Per run only sums leave the graph, in the shape of what is written to the file: [in, in] of a linear layer rather than
 * [tokens, in]. A graph may be of some of a model's quantities, so that what leaves it fits a budget of memory.
 */
import * as Result from "effect/Result"
import type { ModelShape } from "../ModelShape.ts"
import * as Graph from "../onnx/Graph.ts"
import type { GraphError } from "../onnx/GraphError.ts"
import * as Op from "../onnx/Op.ts"
import { pruned } from "../onnx/Prune.ts"
import { unseen } from "../runtime/Batches.ts"
import type { Kind } from "../StatisticsKind.ts"
import { decoder } from "./Decoder.ts"
import { lossGradients } from "./LossGraph.ts"
import * as Taps from "./Taps.ts"
import type { Owner, Tensors } from "./Weights.ts"
import * as Weights from "./Weights.ts"

type Real = Graph.Value<"f32">

/** What is wanted of a model. */
export interface Wanted {
  readonly kind: Kind
  /** Covariances along heads as their diagonal blocks, and inside of the MLP as their diagonals. */
  readonly blocked: boolean
}

/** One sum that leaves the graph. */
export interface Quantity {
  /** The tensors of the file that its mean is; several where layers read the same. */
  readonly names: readonly [string, ...ReadonlyArray<string>]
  readonly shape: ReadonlyArray<number>
  /** What the sum runs over: tokens that are read, tokens that are predicted, or examples. */
  readonly per: "token" | "prediction" | "example"
}

/** A quantity: whose derivatives it is made of, and how. */
interface Measured extends Quantity {
  readonly variables: ReadonlyArray<Real>
  readonly write: (derivatives: ReadonlyArray<Real>) => Real
}

/** Whether a kind needs the backward pass. */
export const isGradient = (kind: Kind): boolean =>
  kind === "fisher" || kind === "saliency" || kind === "kronecker"

const residual: Owner = { _tag: "Residual" }

/** The form of a covariance of n entries: in full, a number of entries per diagonal block, or the diagonal. */
type Form = "full" | "diagonal" | number

const covarianceShape = (size: number, form: Form): ReadonlyArray<number> =>
  form === "full" ? [size, size] : form === "diagonal" ? [size] : [size / form, form, form]

/** Σ over rows of x·xᵀ for x [rows, size]. */
const covariance = (x: Real, form: Form): Real => {
  const size = Number(Op.dim(x, 1))
  if (form === "full") return Op.matMul(Op.transpose(x, [1, 0]), x)
  if (form === "diagonal") return Op.reshape(Op.sum(Op.mul(x, x), [0]), [size])
  const blocks = Op.reshape(x, [Op.dim(x, 0), size / form, form])
  return Op.matMul(Op.transpose(blocks, [1, 2, 0]), Op.transpose(blocks, [1, 0, 2]))
}

/** [batch, sequence, size] or [rows, size] as [rows, size]. */
const flat = (x: Real): Real => (x.shape.length === 2 ? x : Op.reshape(x, ["batch*sequence", Op.dim(x, -1)]))

/** The forms of what linear layers read and return: those of A and S where units are wanted apart. */
const formsOf = (shape: ModelShape, blocked: boolean) => {
  const input = new Map<string, Form>()
  const output = new Map<string, Form>()
  const layers = Array.from({ length: blocked ? shape.layers : 0 }, (_, l) => shape.layer(l))
  for (const layer of layers) {
    for (const role of ["query", "key", "value"] as const) output.set(layer[role].weight, shape.headDim)
    input.set(layer.output.weight, shape.headDim)
    for (const { weight } of [layer.up, ...(layer.gate === undefined ? [] : [layer.gate])]) {
      output.set(weight, "diagonal")
    }
    input.set(layer.down.weight, "diagonal")
  }
  return {
    ofInput: (weight: string): Form => input.get(weight) ?? "full",
    ofOutput: (weight: string): Form => output.get(weight) ?? "full",
  }
}

/** 1 at tokens, 0 at padding, [batch, sequence]. */
const isToken = (builder: Graph.Builder): Real => {
  const keyPositions = builder
    .nodes()
    .flatMap(({ inputs }) => inputs)
    .find(({ name }) => name === "keyPositions")
  if (keyPositions?.type !== "i32") return builder.fail("Statistics", "keyPositions is no input")
  const seen = Op.lessOrEqual(keyPositions as Graph.Value<"i32">, builder.indices(unseen - 1))
  return Op.where(seen, builder.constant(1), builder.constant(0))
}

/** Writes the decoder; says what can be measured in it. */
const measure = (builder: Graph.Builder, shape: ModelShape, tensors: Tensors, { blocked, kind }: Wanted) => {
  const stored = Weights.stored(builder, tensors)
  const embedded: Array<{ readonly tokens: Graph.Value<"i32">; readonly output: Real }> = []
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

  const ofParameters = (reduce: (parameter: Real, derivative: Real) => Real): ReadonlyArray<Measured> =>
    [...shape.expected].map(([name, size]) => {
      const parameter = stored.tensor(name, size, residual)
      return {
        names: [name],
        shape: size,
        per: "example",
        variables: [parameter],
        write: ([derivative]) => reduce(parameter, derivative!),
      }
    })
  if (kind === "fisher") return { logLikelihood, all: ofParameters((_, d) => Op.mul(d, d)) }
  if (kind === "saliency") return { logLikelihood, all: ofParameters((p, d) => Op.abs(Op.mul(p, d))) }

  const { head, linears, norms } = Taps.find(builder, shape, made)
  const seen = isToken(builder)
  /** Behind the rows that are predicted there is no padding. */
  const perOf = (x: Real) => (x.shape[0] === "rows" ? ("prediction" as const) : ("token" as const))
  const shown = (x: Real): Real => {
    if (perOf(x) === "prediction") return x
    // [batch, heads, sequence, headDim] for norms of heads, else [batch, sequence, size].
    const aligned = x.shape.map((size, axis) => (axis === 0 || axis === x.shape.length - 2 ? size : 1))
    return Op.mul(x, Op.reshape(seen, aligned))
  }
  /** One quantity for all that read the same value in the same form. */
  const inputs = (
    suffix: string,
    readers: ReadonlyArray<{ readonly weight: string; readonly input: Real }>,
    form: (weight: string) => Form | "magnitude",
  ): ReadonlyArray<Measured> =>
    [...Map.groupBy(readers, ({ input }) => input)].flatMap(([input, all]) =>
      [...Map.groupBy(all, ({ weight }) => form(weight))].map(([own, [first, ...rest]]): Measured => {
        const size = Number(Op.dim(input, -1))
        const nameOf = ({ weight }: { readonly weight: string }) => `${weight}.${suffix}`
        return {
          names: [nameOf(first!), ...rest.map(nameOf)],
          shape: own === "magnitude" ? [size] : covarianceShape(size, own),
          per: perOf(input),
          variables: [],
          write: () => (own === "magnitude" ? magnitude(shown(input)) : covariance(flat(shown(input)), own)),
        }
      }),
    )
  // A head that is the embedding has no weight of its own.
  const all = shape.tiedEmbeddings ? linears : [...linears, head]
  if (kind === "activation") {
    return { logLikelihood, all: inputs("magnitude", [...all, ...norms], () => "magnitude") }
  }
  const { ofInput, ofOutput } = formsOf(shape, blocked)
  if (kind === "gram") return { logLikelihood, all: inputs("input", all, ofInput) }
  const gradients = linears.map(({ parts, weight }): Measured => {
    const size = parts.reduce((sum, { output }) => sum + Number(Op.dim(output, -1)), 0)
    return {
      names: [`${weight}.outputGradient`],
      shape: covarianceShape(size, ofOutput(weight)),
      per: "token",
      variables: parts.map(({ output }) => output),
      write: (derivatives) =>
        covariance(
          Taps.joined(parts.map(({ blocks }, i) => ({ blocks, value: flat(derivatives[i]!) }))),
          ofOutput(weight),
        ),
    }
  })
  const ofVocabulary = [
    ...embedded.flatMap(({ output, tokens }) => [
      frequency(shape, tokens, seen),
      derivativeOf(`${shape.tensors.embedding}.outputGradient`, "token", output, "full"),
    ]),
    ...inputs("headInput", [head], () => "full"),
    ...head.parts.map(({ output }) =>
      derivativeOf(`${shape.tensors.head}.headResidual`, "prediction", output, "diagonal"),
    ),
  ]
  return { logLikelihood, all: [...inputs("input", linears, ofInput), ...gradients, ...ofVocabulary] }
}

/** Σ g·gᵀ of the derivatives by one value. */
const derivativeOf = (name: string, per: Quantity["per"], value: Real, form: Form): Measured => ({
  names: [name],
  shape: covarianceShape(Number(Op.dim(value, -1)), form),
  per,
  variables: [value],
  write: ([derivative]) => covariance(flat(derivative!), form),
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

/** What can be measured, in the order of the model. */
export const quantities = (
  shape: ModelShape,
  tensors: Tensors,
  wanted: Wanted,
): Result.Result<ReadonlyArray<Quantity>, GraphError> => {
  let found: ReadonlyArray<Quantity> = []
  const graph = Graph.build("statistics", (builder) => {
    found = measure(builder, shape, tensors, wanted).all
    return {}
  })
  return Result.map(graph, () => found.map(({ names, per, shape: own }) => ({ names, per, shape: own })))
}

/**
 * A decoder without a cache, and sums over its inputs: `quantity.<i>` for each index of `chosen` into `quantities`. With
 * gradients, those are of Σ coefficient · log-likelihood (see `lossGradients`), and squares and magnitudes of them are
 * of one example where the inputs are. Holds no layers behind those that the sums are of, unless for their gradients.
 */
export const statistics = (
  shape: ModelShape,
  tensors: Tensors,
  wanted: Wanted,
  chosen: ReadonlyArray<number>,
): Result.Result<Graph.Graph, GraphError> =>
  Result.map(
    Graph.build(`${shape.modelType}-${wanted.kind}`, (builder) => {
      const { all, logLikelihood } = measure(builder, shape, tensors, wanted)
      const own = chosen.flatMap((i) => all[i] ?? [])
      const variables = [...new Set(own.flatMap((quantity) => quantity.variables))]
      const derivatives = new Map<Real, Real>(
        lossGradients(builder, logLikelihood, variables).map((derivative, i) => [variables[i]!, derivative]),
      )
      return Object.fromEntries(
        own.map(({ variables: of, write }, i) => [
          `quantity.${chosen[i]}`,
          builder.scoped("statistics", () => write(of.map((variable) => derivatives.get(variable)!))),
        ]),
      )
    }),
    pruned,
  )
