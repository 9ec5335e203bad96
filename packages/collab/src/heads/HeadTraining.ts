/**
 * Trains heads over frozen experts, in stages: the fusion with an even gate, the gate, then both.
 *
 * The loss is the cross-entropy of the answer; the gate's stages add 0.01 · L_bal, the load balance
 * M · Σᵢ f̄ᵢ ḡᵢ (Fedus et al., 2022), and 0.1 · L_gate, KL(softmax(−CEᵢ/τ) ‖ g) to the experts' own losses. Early stop on
 * macro-F1 of the validation rows. Regressions have an L2 penalty that is chosen on the validation rows.
 */
import { known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Metrics from "../Metrics.ts"
import * as Random from "../Random.ts"
import * as AdamW from "../training/AdamW.ts"
import type { Epoch, Head } from "./Head.ts"
import * as HeadData from "./HeadData.ts"
import * as HeadProgram from "./HeadProgram.ts"
import { type HeadSpec, isGated } from "./HeadSpec.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Rate = Schema.Finite.check(Schema.isGreaterThan(0))

/** How heads are trained. */
export const Options = Schema.Struct({
  batch: Count,
  epochs: Count,
  jointEpochs: Count,
  /** Epochs without a better macro-F1 before a stage stops. */
  patience: Count,
  rate: Rate,
  gateRate: Rate,
  jointRate: Rate,
  weightDecay: Schema.Finite,
  dropout: Schema.Finite,
  balance: Schema.Finite,
  supervision: Schema.Finite,
  /** τ of the gate's targets. */
  tau: Rate,
  /** Experts that take part in joint training; all of them where it is M. */
  topK: Count,
  /**
   * Whether joint training goes from all experts to `topK` of them in its first half, and is judged by what `topK`
   * experts say; else it has `topK` from its beginning, and is judged by all.
   */
  anneal: Schema.optionalKey(Schema.Boolean),
  seed: Schema.Int,
})
export type Options = typeof Options.Type

/** Values that are usual for a head over small experts. */
export const defaults = {
  batch: 256,
  epochs: 20,
  jointEpochs: 5,
  patience: 3,
  rate: 1e-3,
  gateRate: 5e-4,
  jointRate: 1e-4,
  weightDecay: 1e-2,
  dropout: 0.1,
  balance: 0.01,
  supervision: 0.1,
  tau: 1,
} as const

/**
 * Experts that take part in an epoch of joint training, from 1 to `epochs`: all `count` in the first, `topK` from the
 * middle on, in even steps between. Shazeer et al. (2017) train with k throughout; the annealing is a reconstruction.
 */
export const annealed = (count: number, topK: number, epoch: number, epochs: number): number => {
  const passed = epochs === 1 ? 1 : Math.min(1, (epoch - 1) / Math.ceil(epochs / 2))
  return Math.max(topK, Math.round(count - (count - topK) * passed))
}

/** A stage: which parameters it moves, how fast and how long. */
interface Phase {
  readonly name: "fusion" | "gate" | "joint"
  readonly moves: (parameter: string) => boolean
  readonly rate: number
  readonly epochs: number
  readonly withGate: boolean
}

/** The stages of a strategy, in order. */
export const phases = (spec: HeadSpec, options: Options): ReadonlyArray<Phase> => {
  const { epochs, gateRate, jointEpochs, jointRate, rate } = options
  const [ofGate, ofFusion] = [
    (name: string) => name.startsWith("gate."),
    (name: string) => !name.startsWith("gate."),
  ]
  const fusion: Phase = { name: "fusion", moves: ofFusion, rate, epochs, withGate: false }
  if (!isGated(spec.strategy)) return [fusion]
  const gate: Phase = { name: "gate", moves: ofGate, rate: gateRate, epochs, withGate: true }
  // The average of probabilities has nothing to train but its gate.
  if (spec.strategy === "gated") return [gate]
  return [
    fusion,
    gate,
    { name: "joint", moves: () => true, rate: jointRate, epochs: jointEpochs, withGate: true },
  ]
}

/** softmax(−CEᵢ/τ) over the experts' losses on each row, [count, M]; even where an expert has no logits. */
export const gateTargets = (spec: HeadSpec, data: HeadData.HeadData, tau: number): Float32Array => {
  const count = spec.experts.length
  const losses = new Float32Array(data.count * count)
  data.logits.forEach((logits, i) => {
    if (logits.length === 0) return
    const log = Metrics.logSoftmax(logits, spec.classes)
    for (let row = 0; row < data.count; row++) {
      losses[row * count + i] = known(log[row * spec.classes + known(data.labels[row])]) / tau
    }
  })
  return data.logits.some((logits) => logits.length === 0)
    ? losses.fill(1 / count)
    : Metrics.logSoftmax(losses, count).map(Math.exp)
}

/** Share of rows whose gate is largest at each expert; equal gates share a row. */
const shares = (gates: Float32Array, count: number): Float64Array => {
  const out = new Float64Array(count)
  const rows = gates.length / count
  for (let row = 0; row < rows; row++) {
    const own = gates.subarray(row * count, (row + 1) * count)
    const largest = Math.max(...own)
    const winners = own.reduce((n, g) => n + (g >= largest - 1e-6 ? 1 : 0), 0)
    for (const [i, g] of own.entries())
      out[i] = known(out[i]) + (g >= largest - 1e-6 ? 1 / winners / rows : 0)
  }
  return out
}

const validate = (spec: HeadSpec, output: HeadProgram.Output, data: HeadData.HeadData) => {
  const predicted = Metrics.classesOf(output.logProbabilities, spec.classes)
  return {
    nll: Metrics.nll(output.logProbabilities, data.labels, spec.classes),
    macroF1: Metrics.macroF1(predicted, data.labels, spec.classes),
  }
}

const copied = (parameters: AdamW.Parameters): AdamW.Parameters =>
  new Map([...parameters].map(([name, { data, shape }]) => [name, { shape, data: data.slice() }]))

/** Opens a trainer of one head. */
export const open = Effect.fnUntraced(function* (
  spec: HeadSpec,
  train: HeadData.HeadData,
  validation: HeadData.HeadData,
  options: Options,
) {
  const count = spec.experts.length
  const evaluate = yield* HeadProgram.openFed(spec)
  const gradients = yield* HeadProgram.openGradients(spec)
  const targets = gateTargets(spec, train, options.tau)

  /** ∂(balance · L_bal + supervision · L_gate)/∂ log g of the batch's mean loss. */
  const gateAdjoint = (rows: ReadonlyArray<number>, gates: Float32Array): Float32Array => {
    const size = rows.length
    const share = shares(gates, count)
    const out = new Float32Array(size * count)
    rows.forEach((row, b) => {
      for (let i = 0; i < count; i++) {
        const balance = (options.balance * count * known(share[i]) * known(gates[b * count + i])) / size
        const supervised = (-options.supervision * known(targets[row * count + i])) / size
        out[b * count + i] = balance + supervised
      }
    })
    return out
  }

  /** One stage: from a head to the best one it comes by. `l2` is the penalty of a regression. */
  const phase = Effect.fnUntraced(function* (
    start: Head,
    { epochs, moves, name, rate, withGate }: Phase,
    l2 = 0,
  ) {
    const parameters = copied(start.parameters)
    // Where experts are alike, a gate's gradient is rounding alone; ε keeps Adam from making steps of it.
    const epsilon = 1e-5
    const decay = l2 > 0 ? { l2 } : { weightDecay: options.weightDecay }
    const optimiser = AdamW.make(parameters, { ...decay, epsilon })
    const random = Random.make(Random.seedOf(options.seed, name))
    const masked = name === "joint" && options.topK < count
    const anneals = masked && options.anneal === true
    // What the head is worth as it will be asked: with the experts its own gate chooses.
    const valued = Effect.fnUntraced(function* () {
      const dense = yield* evaluate(parameters, validation)
      if (!anneals) return validate(spec, dense, validation)
      const chosen = HeadData.top(dense.gates, count, options.topK)
      return validate(spec, yield* evaluate(parameters, validation, chosen), validation)
    })
    const curve: Array<Epoch> = []
    let best = { macroF1: -1, nll: Infinity, parameters: copied(parameters) }
    let since = 0
    const first = yield* valued()
    // A later stage has to be better than what it begins with.
    if (start.curve.length > 0) best = { ...first, parameters: copied(parameters) }
    for (let epoch = 1; epoch <= epochs && since < options.patience; epoch++) {
      const most = anneals ? annealed(count, options.topK, epoch, epochs) : options.topK
      const order = random.order(train.count)
      let loss = 0
      for (let at = 0; at < order.length; at += options.batch) {
        const rows = order.slice(at, at + options.batch)
        const likelihood = new Float32Array(rows.length).fill(-1 / rows.length)
        const none = new Float32Array(rows.length * count)
        // The terms of the gate need the gate first.
        const before = withGate
          ? yield* gradients(parameters, train, rows, { likelihood, logGates: none })
          : undefined
        const logGates = before === undefined ? none : gateAdjoint(rows, before.gates)
        const selected = masked && before !== undefined ? HeadData.top(before.gates, count, most) : undefined
        const keep = 1 - options.dropout
        const dropout = Float32Array.from({ length: rows.length * spec.hidden }, () =>
          random.next() < keep ? 1 / keep : 0,
        )
        const step = yield* gradients(
          parameters,
          train,
          rows,
          { likelihood, logGates },
          {
            dropout,
            ...(selected === undefined ? {} : { selected }),
          },
        )
        loss -= step.likelihood.reduce((a, b) => a + b, 0)
        optimiser.step(new Map([...step.gradients].filter(([parameter]) => moves(parameter))), rate)
      }
      const { macroF1, nll } = yield* valued()
      curve.push({
        stage: name,
        epoch,
        loss: loss / train.count,
        validationNll: nll,
        validationMacroF1: macroF1,
      })
      const isBetter = macroF1 > best.macroF1 || (macroF1 === best.macroF1 && nll < best.nll)
      if (isBetter) best = { macroF1, nll, parameters: copied(parameters) }
      // While experts still leave, being no better yet is no reason to stop.
      since = isBetter || most > options.topK ? 0 : since + 1
    }
    return { spec, parameters: best.parameters, curve: [...start.curve, ...curve] } satisfies Head
  })

  /** The head's macro-F1 and negative log-likelihood on the validation rows. */
  const judge = (head: Head) =>
    Effect.map(evaluate(head.parameters, validation), (output) => validate(spec, output, validation))
  return { phase, judge }
})
