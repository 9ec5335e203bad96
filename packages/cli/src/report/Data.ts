/**
 * What a report tells: one run, its stages with their records, and the figures of what they made.
 *
 * All of it is what the run recorded: its log says which records it used and which outputs it came to, and beside a
 * record lies how its value looked. The pipeline's file may have changed since, or be gone.
 */
import { type Action, type Artifact, type Figure, Look, Node, Pipeline, type RunLog, Store } from "@hila/core"
import { entryOr } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { UsageError } from "../CliError.ts"

/** A stage of the run with its record. */
export interface Step {
  readonly title: string
  readonly action: Action.Action
  /** Taken from an earlier run. */
  readonly hit: boolean
  /** The stages that made its inputs, by name. */
  readonly after: ReadonlySet<string>
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
  /** Stages of the run whose record is gone. */
  readonly missing: ReadonlyArray<string>
}

/** How to draw values, by the ids of their artifacts. */
export type Artists = ReadonlyMap<string, Artifact.Artifact<unknown>>

/** The artifacts of a pipeline as it is now, to draw the results of an earlier run with. */
export const artistsOf = Effect.fnUntraced(function* (
  pipeline: Pipeline.Pipeline,
  set: Readonly<Record<string, string>>,
) {
  const nodes = Node.stages(Object.values(yield* Pipeline.build(pipeline, set)))
  return new Map(nodes.map(({ stage: { output } }) => [output.id, output]))
})

/** How a result looked when it was made, or what an artist makes of it now. */
const lookOf = Effect.fnUntraced(function* (action: Action.Action, artists: Artists) {
  const artist = entryOr(artists, action.ingredients.output, undefined)
  if (artist === undefined) return yield* Look.read(action)
  const { content } = yield* Store
  const found = yield* content(action.kind, action.digest)
  const value = Option.isNone(found) ? Option.none() : yield* Effect.option(artist.decode(found.value))
  return Option.isNone(value)
    ? { text: `${action.summary} (its content is gone, or of another version)`, figures: [] }
    : Look.of(artist, value.value, action.measured)
})

/** The digests that a record was made of. */
const digestsOf = ({ ingredients }: Action.Action) => Object.values(ingredients.inputs).flat()

/** The stages of the run that have a record, in the order in which they were found or made. */
const stepsOf = ({ nodes }: RunLog.RunLog, records: ReadonlyMap<string, Action.Action>) => {
  const found = nodes.flatMap(({ hit, key, node }) => {
    const action = records.get(key)
    return action === undefined ? [] : [{ title: node, action, hit }]
  })
  const makers = Map.groupBy(found, ({ action }) => action.digest)
  const steps = found.map(({ action, hit, title }): Step => {
    const before = digestsOf(action).flatMap((digest) => entryOr(makers, digest, []))
    const names = before.map((maker) => maker.action.ingredients.stage)
    return { title, action, hit, after: new Set(names.filter((name) => name !== action.ingredients.stage)) }
  })
  return { steps, made: new Set(makers.keys()) }
}

/** What the run started from; of a log that does not say so, where the store last saw what no stage of it made. */
const inputsOf = Effect.fnUntraced(function* (
  { sources }: RunLog.RunLog,
  steps: ReadonlyArray<Step>,
  made: ReadonlySet<string>,
) {
  if (sources.length > 0)
    return sources.map(({ artifact, digest, node }): Input => ({ title: node, artifact, digest }))
  const { sourcePaths } = yield* Store
  const digests = new Set(steps.flatMap(({ action }) => digestsOf(action)).filter((each) => !made.has(each)))
  return yield* Effect.forEach(digests, (digest) =>
    Effect.map(sourcePaths(digest), ([path = "a value of the pipeline"]): Input => ({
      title: path,
      artifact: "",
      digest,
    })),
  )
})

/** The outputs of the run; of a log that does not say so, those that the store still refers to. */
const namedOutputs = Effect.fnUntraced(function* ({ nodes, outputs, pipeline }: RunLog.RunLog) {
  if (outputs.length > 0) return outputs
  const keys = new Set(nodes.map(({ key }) => key))
  const refs = (yield* (yield* Store).refs).filter((ref) => ref.pipeline === pipeline && keys.has(ref.key))
  return refs.map(({ key, output, stage }) => ({ output, node: stage, key }))
})

/** Collects a run's data. `artists` draw in place of what was drawn when results were made. */
export const collect = Effect.fnUntraced(function* (run: RunLog.RunLog, artists: Artists = new Map()) {
  const store = yield* Store
  const records = new Map((yield* store.actions).map((action) => [action.key, action]))
  const { made, steps } = stepsOf(run, records)
  if (steps.length === 0) {
    const problem = `run ${run.run} has no result that is still in the store: run the pipeline again and report that run`
    return yield* new UsageError({ problem })
  }
  const named = yield* namedOutputs(run)
  const outputs = yield* Effect.forEach(named, ({ key, node, output: name }) =>
    Effect.gen(function* () {
      const action = key === undefined ? undefined : records.get(key)
      if (key === undefined) return { name, figures: [], text: node }
      if (action === undefined) return { name, figures: [], text: "its record is no longer in the store" }
      return { name, ...(yield* lookOf(action, artists)) }
    }),
  )
  const ends = new Set(named.map(({ key }) => key))
  const figures = yield* Effect.forEach(
    steps.filter(({ action }) => !ends.has(action.key) && action.kind === "file"),
    ({ action, title }) => Effect.map(lookOf(action, artists), (look) => ({ title, figures: look.figures })),
  )
  const data: Data = {
    run,
    steps,
    inputs: yield* inputsOf(run, steps, made),
    outputs,
    figures: figures.filter((each) => each.figures.length > 0),
    missing: run.nodes.flatMap(({ key, node }) => (records.has(key) ? [] : [node])),
  }
  return data
})
