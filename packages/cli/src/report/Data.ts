/**
 * What a report tells: one run, its stages with their records, and the figures of what they made.
 *
 * A run's log says which records it used; the pipeline, built again with the run's options, says how they hang together
 * and how to read them.
 */
import { type Action, type Figure, Node, Pipeline, Plan, type RunLog, Store } from "@hila/core"
import { entry, known } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UsageError } from "../CliError.ts"

/** A stage of the run with its record. */
export interface Step {
  readonly node: Node.AnyStageNode
  readonly title: string
  readonly action: Action.Action
  /** Taken from an earlier run. */
  readonly hit: boolean
}

/** A model, a file or a value that the run started from. */
export interface Input {
  readonly title: string
  readonly artifact: string
  readonly digest: string
}

export interface Data {
  readonly run: RunLog.RunLog
  readonly steps: ReadonlyArray<Step>
  readonly inputs: ReadonlyArray<Input>
  /** By output name: its figures, and its text where it has none. */
  readonly outputs: ReadonlyArray<{
    readonly name: string
    readonly figures: ReadonlyArray<Figure>
    readonly text: string
  }>
  /** Figures of the stages that are no outputs. */
  readonly figures: ReadonlyArray<{ readonly title: string; readonly figures: ReadonlyArray<Figure> }>
  /** Stages of the pipeline whose record the run did not use, or is gone. */
  readonly missing: ReadonlyArray<string>
}

/** The value that a record stands for. */
const valueOf = Effect.fnUntraced(function* ({ action, node }: Step) {
  const { content } = yield* Store
  const found = yield* content(action.kind, action.digest)
  return Option.isNone(found) ? undefined : yield* node.stage.output.decode(found.value)
})

const figuresOf = (step: Step) =>
  Effect.map(valueOf(step), (value) => (value === undefined ? [] : step.node.stage.output.figures(value)))

/** The digests of the sources that the steps took, each source once. */
const inputsOf = (steps: ReadonlyArray<Step>): ReadonlyArray<Input> => {
  const found = new Map<Node.AnyNode, Input>()
  for (const { action, node } of steps) {
    for (const [slot, given] of Object.entries(node.inputs)) {
      const digests = [entry(action.ingredients.inputs, slot)].flat()
      for (const [at, input] of [given].flat().entries()) {
        if (input.kind !== "source") continue
        const digest = known(digests[at])
        found.set(input, { title: Node.title(input), artifact: input.artifact.id, digest })
      }
    }
  }
  return [...found.values()]
}

/** Collects a run's data; fails where the pipeline is no longer that of the run. */
export const collect = Effect.fnUntraced(function* (run: RunLog.RunLog, pipeline: Pipeline.Pipeline) {
  const targets = yield* Pipeline.build(pipeline, run.set)
  const ran = new Map(run.nodes.map(({ hit, key }) => [key, hit]))
  const plan = yield* Effect.provide(Plan.make(targets), pipeline.layer)
  const steps: Array<Step> = []
  const missing: Array<string> = []
  for (const step of plan) {
    const title = Node.title(step.node)
    const hit = step._tag === "Hit" ? ran.get(step.action.key) : undefined
    if (step._tag === "Hit" && hit !== undefined) {
      steps.push({ node: step.node, title, action: step.action, hit })
    } else missing.push(title)
  }
  if (steps.length === 0) {
    const problem = `run ${run.run} has no stage in common with pipeline ${pipeline.name} as it is now: its code or inputs have changed; run it again and report that run`
    return yield* new UsageError({ problem })
  }
  const byNode = new Map<Node.AnyNode, Step>(steps.map((step) => [step.node, step]))
  const outputs = yield* Effect.forEach(Object.entries(targets), ([name, node]) =>
    Effect.gen(function* () {
      const step = byNode.get(node)
      const value = step === undefined ? undefined : yield* valueOf(step)
      if (step === undefined || value === undefined)
        return { name, figures: [], text: "not made by this run, or not as the pipeline is now" }
      const artifact = step.node.stage.output
      return { name, figures: artifact.figures(value), text: artifact.show(value) }
    }),
  )
  const ends = new Set(Object.values(targets))
  const figures = yield* Effect.forEach(
    steps.filter(({ node }) => !ends.has(node) && node.stage.output.kind === "file"),
    (step) => Effect.map(figuresOf(step), (made) => ({ title: step.title, figures: made })),
  )
  const data: Data = {
    run,
    steps,
    inputs: inputsOf(steps),
    outputs,
    figures: figures.filter((each) => each.figures.length > 0),
    missing,
  }
  return data
})
