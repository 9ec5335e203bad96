/**
 * Gate and fusion as a graph, over parameters that come as inputs (to be trained) or from a file (to be run).
 *
 * Features are brought to one width, fᵢ = LayerNorm(Pᵢ hᵢ + bᵢ). The gate is g = softmax(W₂ gelu(W₁ q + b₁) + b₂) over the
 * selected experts (Jacobs et al., 1991; Shazeer et al., 2017). Fusions of features see M · gᵢ · fᵢ, so that an even gate
 * leaves features as they are.
 */
import { at, atOr } from "@hila/core/Lookup"
import { activate } from "@hila/model/graphs/Activation"
import type { Builder, Value as AnyValue } from "@hila/model/onnx/Graph"
import * as Op from "@hila/model/onnx/Op"
import { type HeadSpec, isGated, readsLogits } from "./HeadSpec.ts"

type Value = AnyValue<"f32">

/** How a parameter begins: N(0, 1/in), zeros, or ones. */
export type Start = "normal" | "zero" | "one"

/** Gives a parameter by name; the names are the same whether it is trained or run. */
export type Source = (name: string, shape: ReadonlyArray<number>, start: Start) => Value

interface Context {
  readonly builder: Builder
  readonly spec: HeadSpec
  readonly source: Source
  /** [batch, M]: 1 for experts that take part, else 0. */
  readonly selected: Value
}

const linear = ({ source }: Context, x: Value, name: string, out: number, start: Start = "normal"): Value => {
  const from = Number(Op.dim(x, -1))
  return Op.add(
    Op.linear(x, source(`${name}.weight`, [out, from], start)),
    source(`${name}.bias`, [out], "zero"),
  )
}

/** (x − mean) / √(variance + 1e-5) over the last axis. */
const normalised = (x: Value): Value => {
  const centred = Op.sub(x, Op.mean(x, -1))
  const variance = Op.mean(Op.mul(centred, centred), -1)
  return Op.div(centred, Op.sqrt(Op.add(variance, x.builder.constant(1e-5))))
}

const layerNorm = ({ source }: Context, x: Value, name: string): Value => {
  const size = [Number(Op.dim(x, -1))]
  const scaled = Op.mul(normalised(x), source(`${name}.weight`, size, "one"))
  return Op.add(scaled, source(`${name}.bias`, size, "zero"))
}

/**
 * 0 for experts that take part, −100 for others: added to what a softmax takes. e⁻¹⁰⁰ is nothing beside 1, and −100 still
 * leaves an f32 its digits, which `logSum` needs.
 */
const closed = ({ builder, selected }: Context): Value =>
  Op.mul(Op.sub(selected, builder.constant(1)), builder.constant(100))

/** Column i of [batch, M], as [batch, 1]. */
const column = (x: Value, i: number): Value => Op.gather(x, x.builder.indices([i]), 1)

/** log of the gate, [batch, M]. */
const gate = (context: Context): Value => {
  const { builder, spec } = context
  const query = builder.input("query", "f32", ["batch", spec.query])
  // An embedding's mean is small: without a norm the gate would hardly see it.
  const inner = activate(linear(context, normalised(query), "gate.inner", spec.hidden), "gelu")
  // Zeros: training begins with an even gate.
  const scores = linear(context, inner, "gate.outer", spec.experts.length, "zero")
  return Op.logSoftmax(Op.add(scores, closed(context)), -1)
}

/** log Σᵢ e^aᵢ of values [batch, classes]. */
const logSum = (terms: ReadonlyArray<Value>): Value => {
  const [batch, classes] = ["batch", Number(Op.dim(at(terms, 0), -1))]
  const apart = terms.map((term) => Op.reshape(term, [batch, classes, 1]))
  const stacked = Op.concat([at(apart, 0), ...apart.slice(1)], 2)
  // log Σ e^a = a₁ − logSoftmax(a)₁
  const first = (x: Value) => Op.gather(x, x.builder.indices(0), 2)
  return Op.sub(first(stacked), first(Op.logSoftmax(stacked, 2)))
}

const sum = (values: ReadonlyArray<Value>): Value => values.slice(1).reduce(Op.add, at(values, 0))

const concat = (values: ReadonlyArray<Value>, axis: number): Value =>
  Op.concat([at(values, 0), ...values.slice(1)], axis)

/** Multi-head attention over features (Vaswani et al., 2017), the query made of their mean: W_o Σ aᵢ vᵢ + mean f. */
const attend = (context: Context, features: ReadonlyArray<Value>, name: string, bias?: Value): Value => {
  const { builder, source, spec } = context
  const { heads, width } = spec
  const [count, size] = [features.length, width / heads]
  const mean = Op.mul(sum(features), builder.constant(1 / count))
  const stacked = concat(
    features.map((f) => Op.reshape(f, ["batch", 1, width])),
    1,
  )
  const matrix = (role: string) => source(`${name}.${role}.weight`, [width, width], "normal")
  const split = (x: Value, length: number) =>
    Op.transpose(Op.reshape(x, ["batch", length, heads, size]), [0, 2, 1, 3])
  const query = split(Op.reshape(Op.linear(mean, matrix("query")), ["batch", 1, width]), 1)
  const key = split(Op.linear(stacked, matrix("key")), count)
  const value = split(Op.linear(stacked, matrix("value")), count)
  // [batch, heads, 1, count]
  const scores = Op.mul(Op.matMul(query, Op.transpose(key, [0, 1, 3, 2])), builder.constant(size ** -0.5))
  const open = bias === undefined ? scores : Op.add(scores, Op.reshape(bias, ["batch", 1, 1, count]))
  const mixed = Op.matMul(Op.softmax(open, -1), value)
  const joined = Op.reshape(Op.transpose(mixed, [0, 2, 1, 3]), ["batch", width])
  return Op.add(Op.linear(joined, matrix("output")), mean)
}

/** Σ over ordered pairs i ≠ j of (U fᵢ) ⊙ (V fⱼ), which is (Σ U fᵢ) ⊙ (Σ V fⱼ) − Σ (U fᵢ) ⊙ (V fᵢ). */
const bilinear = ({ source, spec }: Context, features: ReadonlyArray<Value>): Value => {
  const u = source("head.left.weight", [spec.rank, spec.width], "normal")
  const v = source("head.right.weight", [spec.rank, spec.width], "normal")
  const [left, right] = [features.map((f) => Op.linear(f, u)), features.map((f) => Op.linear(f, v))]
  const all = Op.mul(sum(left), sum(right))
  return Op.sub(all, sum(left.map((x, i) => Op.mul(x, at(right, i)))))
}

/** The fused feature of a strategy that fuses features. */
const fuse = (context: Context, features: ReadonlyArray<Value>, dropout: Value | undefined): Value => {
  const { builder, spec } = context
  switch (spec.strategy) {
    case "concat": {
      const inner = activate(linear(context, concat(features, 1), "head.inner", spec.hidden), "gelu")
      return dropout === undefined ? inner : Op.mul(inner, dropout)
    }
    case "attention":
      return attend(context, features, "head.attention", closed(context))
    case "bilinear":
      return bilinear(context, features)
    case "hierarchy": {
      const inside = spec.groups.map((group, g) => {
        const columns = concat(
          group.map((i) => column(closed(context), i)),
          1,
        )
        const own = group.map((i) => at(features, i))
        return attend(context, own, `head.group.${g}`, columns)
      })
      return attend(context, inside, "head.across")
    }
    default:
      return Op.mul(sum(features), builder.constant(1 / features.length))
  }
}

/**
 * Adds the inputs a strategy reads of `features.<i>` f32 [batch, widthᵢ], `logits.<i>` f32 [batch, classes], `query` f32
 * [batch, query], and `selected` f32 [batch, M]; when `isTraining`, `dropout` f32 [batch, hidden] for `concat`. Returns
 * log-probabilities [batch, classes], and log-gates [batch, M] of gated strategies.
 */
export const forward = (
  builder: Builder,
  spec: HeadSpec,
  source: Source,
  isTraining: boolean,
): { readonly logProbabilities: Value; readonly logGates: Value | undefined } => {
  const { classes, experts, strategy, temperatures } = spec
  const count = experts.length
  const selected = builder.input("selected", "f32", ["batch", count])
  const context: Context = { builder, spec, source, selected }
  const logGates = isGated(strategy) ? gate(context) : undefined
  if (readsLogits(strategy)) {
    const logP = experts.map((_, i) => {
      const logits = builder.input(`logits.${i}`, "f32", ["batch", classes])
      const scale = strategy === "static" ? 1 / atOr(temperatures, i, 1) : 1
      return Op.logSoftmax(Op.mul(logits, builder.constant(scale)), -1)
    })
    if (strategy === "stacking") {
      const seen = logP.map((value, i) => Op.mul(value, column(selected, i)))
      return {
        logProbabilities: Op.logSoftmax(linear(context, concat(seen, 1), "head.output", classes, "zero"), -1),
        logGates,
      }
    }
    const weights =
      logGates ?? Op.logSoftmax(Op.add(source("head.mixture", [1, count], "zero"), closed(context)), -1)
    return { logProbabilities: logSum(logP.map((value, i) => Op.add(value, column(weights, i)))), logGates }
  }
  const raw = experts.map(({ width }, i) => builder.input(`features.${i}`, "f32", ["batch", width]))
  if (logGates === undefined) {
    const seen = raw.map((value, i) => Op.mul(normalised(value), column(selected, i)))
    return {
      logProbabilities: Op.logSoftmax(linear(context, concat(seen, 1), "head.output", classes, "zero"), -1),
      logGates,
    }
  }
  const gates = Op.exp(logGates)
  const features = raw.map((value, i) => {
    const projected = layerNorm(
      context,
      linear(context, value, `head.project.${i}`, spec.width),
      `head.norm.${i}`,
    )
    return Op.mul(projected, Op.mul(column(gates, i), builder.constant(count)))
  })
  const dropout =
    isTraining && strategy === "concat" ? builder.input("dropout", "f32", ["batch", spec.hidden]) : undefined
  const fused = fuse(context, features, dropout)
  return { logProbabilities: Op.logSoftmax(linear(context, fused, "head.output", classes), -1), logGates }
}

/** The gate alone, for choosing experts before any is run: `query` → log-gates [batch, M]. */
export const gateAlone = (builder: Builder, spec: HeadSpec, source: Source): Value => {
  const selected = builder.input("selected", "f32", ["batch", spec.experts.length])
  return gate({ builder, spec, source, selected })
}
