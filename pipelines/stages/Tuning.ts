/**
 * Tuning: the λ of a merge with the lowest golden loss on a set kept for that.
 *
 * Every method is tuned over the same grid on the same data, or a comparison of methods would compare their tuning.
 * A trial merges into the stage's private directory, is measured and removed; finished trials are checkpointed.
 */
import { Artifact, Stage } from "@hila/core"
import { fuse, Mask, taskArithmetic, UnitWeights } from "@hila/merge"
import { Checkpoint, Example, LanguageModel } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { rm } from "node:fs/promises"
import { join } from "node:path"

const Trial = Schema.Struct({
  lambda: Schema.Finite,
  /** Mean over the golden sets of their mean loss, nats per token. */
  loss: Schema.Finite,
})

const Tuning = Schema.Struct({ lambda: Schema.Finite, trials: Schema.Array(Trial) })

/** The chosen λ with all trials, in the order of the grid. */
export const artifact = Artifact.json("tuning", Tuning, {
  summary: ({ lambda, trials }) => `λ = ${lambda} of ${trials.map((trial) => trial.lambda).join(", ")}`,
})

const TrialArtifact = Artifact.json("trial", Trial)
const Grid = Schema.NonEmptyArray(Schema.Finite)
const golden = Stage.each(Example.artifact)

/** Tries every λ of a grid, lowest loss wins, the smaller λ where two are equal. */
const search = Effect.fnUntraced(function* <E, R>(
  grid: ReadonlyArray<number>,
  sets: ReadonlyArray<ReadonlyArray<Example.Example>>,
  merge: (lambda: number, directory: string) => Effect.Effect<Checkpoint.Checkpoint, E, R>,
) {
  const service = yield* LanguageModel
  const scratch = yield* Stage.scratch
  const trials = yield* Stage.forEach(
    grid,
    Effect.fnUntraced(function* (lambda: number) {
      const directory = join(scratch, `trial-${lambda}`)
      const model = yield* service.open(yield* merge(lambda, directory))
      const losses = yield* Effect.forEach(sets, (set) => model.losses(set))
      yield* Effect.promise(() => rm(directory, { recursive: true }))
      return { lambda, loss: mean(losses.map(mean)) }
    }, Effect.scoped),
    { part: (lambda) => `lambda-${lambda}`, output: TrialArtifact },
  )
  const [best] = trials.toSorted((a, b) => a.loss - b.loss || a.lambda - b.lambda)
  return { lambda: best?.lambda ?? 0, trials }
})

const mean = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length

/** The λ of task arithmetic. */
export const tuneTaskArithmetic = Stage.make({
  name: "tune-task-arithmetic",
  version: 1,
  inputs: { base: Checkpoint.artifact, experts: Stage.each(Checkpoint.artifact), golden },
  params: { grid: Grid },
  output: artifact,
  run: (inputs, { grid }) =>
    search(grid, inputs.golden, (lambda, directory) => taskArithmetic(inputs, { lambda }, directory)),
})

/** The λ of adaptive fusion. */
export const tuneFusion = Stage.make({
  name: "tune-fusion",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    experts: Stage.each(Checkpoint.artifact),
    masks: Stage.each(Mask.artifact),
    weights: UnitWeights.artifact,
    golden,
  },
  params: { grid: Grid },
  output: artifact,
  run: (inputs, { grid }) =>
    search(grid, inputs.golden, (lambda, directory) => fuse(inputs, { lambda }, directory)),
})

/** Task arithmetic at the tuned λ. */
export const tunedTaskArithmetic = Stage.make({
  name: "task-arithmetic-tuned",
  version: 1,
  inputs: { base: Checkpoint.artifact, experts: Stage.each(Checkpoint.artifact), tuning: artifact },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs) {
    const { lambda } = inputs.tuning
    return yield* taskArithmetic(inputs, { lambda }, join(yield* Stage.scratch, "merged"))
  }),
})

/** Adaptive fusion at the tuned λ. */
export const tunedFusion = Stage.make({
  name: "fuse-tuned",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    experts: Stage.each(Checkpoint.artifact),
    masks: Stage.each(Mask.artifact),
    weights: UnitWeights.artifact,
    tuning: artifact,
  },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* (inputs) {
    const { lambda } = inputs.tuning
    return yield* fuse(inputs, { lambda }, join(yield* Stage.scratch, "merged"))
  }),
})
