/**
 * AdaMerging: coefficients learned by gradient descent (Yang et al., ICLR 2024, arXiv 2310.02575), on virtual merges.
 *
 *     min over λ of the mean entropy of what the merge predicts on unlabeled texts of every domain
 *
 * one λ per expert (task-wise) or per expert and layer, held inside [0, 1]. For language models the entropy is that of
 * the next token at the positions of the specialists' own answers; what the answers are has no part in it. This is
 * test-time adaptation, not a merge without training. Entropy also falls when a model is wrongly sure, so that the step
 * with the best golden cost on the tune split is taken. The authors take 500 steps of Adam at 1e-3; here the rate is
 * 0.02 and the steps as many as other methods have trials. With the golden loss as objective the same code learns the
 * coefficients that the golden data would have: how much any choice of coefficients could bring.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Checkpoint, Example, LayerGroup, Runtime, Unit, UnitGroup, VirtualMerge } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Coefficients from "./Coefficients.ts"
import * as Plot from "./Plot.ts"

const Step = Schema.Struct({
  /** What is descended: mean entropy or loss, nats per token. */
  objective: Schema.Finite,
  /** Mean golden loss over the sets of the tune split, before the step. */
  cost: Schema.Finite,
  /** The coefficients after the step, [experts · groups]. */
  lambdas: Schema.Array(Schema.Finite),
  /** Of Adam's two moments, after the step. */
  first: Schema.Array(Schema.Finite),
  second: Schema.Array(Schema.Finite),
})
type Step = typeof Step.Type

const Learned = Schema.Struct({
  best: Schema.Int,
  steps: Schema.Array(Schema.Struct({ objective: Schema.Finite, cost: Schema.Finite })),
  coefficients: Coefficients.Coefficients,
})

type Learned = typeof Learned.Type

const summary = ({ best, steps }: Learned): string =>
  `step ${best} of ${steps.length}, golden loss ${steps[best]?.cost.toFixed(4)}, objective ${steps[0]?.objective.toFixed(4)} → ${steps[best]?.objective.toFixed(4)}`

const plot = ({ best, steps }: Learned): string => {
  const points = (name: "cost" | "objective") => steps.map((step, x) => ({ x, y: step[name] }))
  return Plot.lines(
    { x: "step", y: "nats per token" },
    [
      { name: "objective", points: points("objective") },
      { name: "golden loss", points: points("cost") },
    ],
    { x: best, y: at(steps, best).cost },
  )
}

const artifact = Artifact.json("learned-coefficients", Learned, {
  summary,
  figures: (learned) => [
    {
      _tag: "Picture",
      title: summary(learned),
      svg: plot(learned),
      note: "The ring is the step whose coefficients were taken.",
    },
  ],
})

const StepArtifact = Artifact.json("learning-step", Step)

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** Adam's constants (Kingma & Ba, 2015). */
const [beta1, beta2, epsilon] = [0.9, 0.999, 1e-8]

/** The coefficients after a step of Adam, held inside [0, 1]. */
export const adam = (
  { first, lambdas, second }: Pick<Step, "first" | "lambdas" | "second">,
  gradient: ReadonlyArray<number>,
  step: number,
  rate: number,
): Pick<Step, "first" | "lambdas" | "second"> => {
  const m = first.map((value, i) => beta1 * value + (1 - beta1) * at(gradient, i))
  const v = second.map((value, i) => beta2 * value + (1 - beta2) * at(gradient, i) ** 2)
  const [unbias1, unbias2] = [1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)]
  const moved = lambdas.map((value, i) => {
    const change = (rate * at(m, i)) / unbias1 / (Math.sqrt(at(v, i) / unbias2) + epsilon)
    return Math.min(1, Math.max(0, value - change))
  })
  return { first: m, second: v, lambdas: moved }
}

/** The objective over all sets, each with the same weight, and its gradient. */
const descend = Effect.fnUntraced(function* (
  merge: VirtualMerge.VirtualMerge,
  objective: "entropy" | "loss",
  sets: ReadonlyArray<ReadonlyArray<Example.Example>>,
  lambdas: Float32Array,
) {
  const parts = yield* Effect.forEach(sets, (set) =>
    objective === "entropy"
      ? Effect.map(merge.entropies(set, lambdas), ({ entropies, gradient }) => ({
          values: entropies,
          gradient,
        }))
      : Effect.map(merge.gradients(set, lambdas), ({ gradient, losses }) => ({ values: losses, gradient })),
  )
  const gradient = Array.from(lambdas, (_, i) => mean(parts.map((part) => at(part.gradient, i))))
  return { value: mean(parts.map(({ values }) => mean(values))), gradient }
})

/** Coefficients learned on `unlabeled` texts, stopped by the loss on `golden`; one set per domain in both. */
export const learn = Stage.make({
  name: "learn-coefficients",
  version: 2,
  inputs: {
    base: Checkpoint.artifact,
    directions: Stage.each(Checkpoint.artifact),
    unlabeled: Stage.each(Example.artifact),
    golden: Stage.each(Example.artifact),
  },
  params: {
    by: Schema.Literals(["task", "layer", "unit"]),
    objective: Schema.Literals(["entropy", "loss"]),
    init: Schema.Finite,
    rate: Schema.Finite,
    steps: Schema.Int,
  },
  output: artifact,
  environment: [Runtime],
  run: Effect.fnUntraced(function* (inputs, { by, init, objective, rate, steps }) {
    const { base, directions, golden, unlabeled } = inputs
    const { units } = yield* Unit.partition(base, "kvGroup")
    const grouping = { task: () => "all", layer: LayerGroup.of, unit: UnitGroup.of(units) }[by]
    const merge = yield* VirtualMerge.open(base, directions, grouping)
    const count = directions.length * merge.groups.length
    const zeros = Array.from<number>({ length: count }).fill(0)
    let state: Pick<Step, "first" | "lambdas" | "second"> = {
      lambdas: zeros.map(() => init),
      first: zeros,
      second: zeros,
    }
    const instance = yield* Stage.Instance
    const done: Array<Pick<Step, "objective" | "cost" | "lambdas">> = []
    for (let step = 0; step < steps; step++) {
      const before = state
      const lambdas = Float32Array.from(before.lambdas)
      const result = yield* Stage.part(
        `step-${step}`,
        StepArtifact,
        Effect.gen(function* () {
          const losses = yield* Effect.forEach(golden, (set) => Effect.map(merge.losses(set, lambdas), mean))
          const { gradient, value } = yield* descend(merge, objective, unlabeled, lambdas)
          return { objective: value, cost: mean(losses), ...adam(before, gradient, step, rate) }
        }),
      )
      done.push({ objective: result.objective, cost: result.cost, lambdas: before.lambdas })
      state = result
      yield* instance.progress(step + 1, 0, steps)
    }
    const best = done.reduce((low, { cost }, i) => (cost < at(done, low).cost ? i : low), 0)
    const named = new Set(merge.groups)
    const ofGroup = (group: string) =>
      directions.map(
        (_, k) =>
          done[best]?.lambdas[
            k * merge.groups.length + merge.groups.indexOf(named.has(group) ? group : "all")
          ] ?? init,
      )
    const groups = by === "task" ? [...new Set([...base.tensors.keys()].map(LayerGroup.of))] : merge.groups
    return {
      best,
      steps: done.map(({ cost, objective: value }) => ({ objective: value, cost })),
      coefficients: {
        ...(by === "unit" ? { scheme: "kvGroup" as const } : {}),
        rows: groups.map((group) => ({ group, weights: ofGroup(group) })),
      },
    }
  }, Effect.scoped),
})

/** The learned coefficients as a table; its λ is 1. */
export const learnedTable = Stage.make({
  name: "learned-table",
  version: 1,
  inputs: { learned: artifact },
  output: Coefficients.artifact,
  run: ({ learned }) => Effect.succeed(learned.coefficients),
})
