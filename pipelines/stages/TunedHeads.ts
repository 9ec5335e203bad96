/**
 * Tuning the heads of collaborations: the same searches as for merges, over sizes and training of a gate and its fusion.
 *
 * A trial trains a head and asks the validation rows; the test rows are never looked at. The cost is one minus macro-F1,
 * and among equals of that, which are common with few rows, the mean negative log-likelihood decides.
 * Finished trials are kept, and the head of the best setting is trained once more, by its own stage, so that another
 * search which finds the same setting trains nothing.
 */
import { Artifact, type Node, PipelineError, Stage } from "@hila/core"
import { CollabError, type Compute, Features, Head, HeadFit, HeadTables, LabelledText } from "@hila/collab"
import type { Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Search from "./Search.ts"
import * as Trials from "./Trials.ts"
import { choice } from "./Tuning.ts"

const Start = Schema.Struct(HeadFit.params)
type Start = typeof Start.Type

/** Numbers of a head that can be searched; those that count something are rounded. */
const counts = ["width", "hidden", "rank", "batch", "epochs", "jointEpochs", "patience", "topK"] as const
const rates = [
  "rate",
  "gateRate",
  "jointRate",
  "weightDecay",
  "dropout",
  "balance",
  "supervision",
  "tau",
] as const
const tunable: ReadonlyArray<string> = [...counts, ...rates]

/** What a head is told under a setting. The common width stays a multiple of the attention heads. */
const under = (start: Start, setting: Search.Setting) => {
  const rounded = Object.entries(setting).map(([name, value]) => {
    if (name === "width") return [name, Math.max(1, Math.round(value / start.heads)) * start.heads] as const
    return [name, counts.some((count) => count === name) ? Math.round(value) : value] as const
  })
  return Effect.mapError(
    Schema.decodeUnknownEffect(Start)({ ...start, ...Object.fromEntries(rounded) }),
    ({ message }) =>
      new CollabError({ subject: "setting of a head", problem: message.replaceAll(/\s*\n\s*/g, " ") }),
  )
}

const inputs = {
  features: Stage.each(Features.artifact),
  queries: Features.artifact,
  texts: LabelledText.divided,
}

const TrialArtifact = Artifact.json("head-trial", Trials.Trial)

/** What the log-likelihood counts beside macro-F1: too little to outweigh one row. */
const tieBreak = 1e-6

/** Settings of a head, tried on the validation rows. */
export const tuneHead = Stage.make({
  name: "tune-head",
  version: 2,
  inputs,
  params: { start: Start, domains: Search.Domains, search: Search.Method },
  output: Trials.artifact,
  run: Effect.fnUntraced(function* ({ features, queries, texts }, { domains, search: method, start }) {
    const data = yield* HeadTables.load(features, queries, texts)
    const trial = Effect.fnUntraced(function* (setting: Search.Setting) {
      const params = yield* under(start, setting)
      const { validation } = yield* HeadFit.fit(data, texts.classes.length, params, (_, make) => make)
      return {
        variant: "",
        setting,
        losses: [validation.nll],
        cost: 1 - validation.macroF1 + tieBreak * validation.nll,
      }
    }, Effect.scoped)
    const search = Search.make(domains, method)
    const done: Array<Trials.Trial> = []
    for (let round = search.first; round.length > 0;) {
      const results = yield* Stage.forEach(round, trial, {
        part: (_, i) => `trial-${done.length + i}`,
        output: TrialArtifact,
      })
      done.push(...results)
      round = search.next(results.map(({ cost }) => cost))
    }
    return Trials.of("macro-F1 of the validation rows", done)
  }),
})

/** The head of a setting that was chosen. */
export const trainChosen = Stage.make({
  name: "train-chosen-head",
  version: 1,
  inputs: { ...inputs, choice: Trials.choiceArtifact },
  params: { start: Start },
  output: Head.artifact,
  run: Effect.fnUntraced(function* ({ choice: { setting }, features, queries, texts }, { start }) {
    const data = yield* HeadTables.load(features, queries, texts)
    const params = yield* under(start, setting)
    const { head } = yield* HeadFit.fit(data, texts.classes.length, params, (_, make) => make)
    return yield* Head.write(join(yield* Stage.scratch, "head.safetensors"), head)
  }, Effect.scoped),
})

type Made<A> = Node.Node<A, unknown, Compute | Runtime, Compute | Runtime>

/** What heads are trained over. */
export interface Over {
  readonly features: ReadonlyArray<Made<Artifact.FileHandle>>
  readonly queries: Made<Artifact.FileHandle>
  readonly texts: Made<LabelledText.Divided>
}

/** Searches a head's numbers and trains the head of the best. */
export const tunedHead = (
  over: Over,
  label: string,
  start: Start,
  { domains, search }: { readonly domains: Search.Domains; readonly search: Search.Method },
) => {
  const unknown = Object.keys(domains).find((name) => !tunable.includes(name))
  if (unknown !== undefined) {
    const problem = `there is no number "${unknown}" of a head to search; there are ${tunable.join(", ")}`
    // Building is plain code; `Pipeline.build` catches it.
    throw new PipelineError({ pipeline: `tuning of ${label}`, problem })
  }
  const tuning = tuneHead(over, { start, domains, search }, label)
  const chosen = choice({ tuning }, { variants: [{ name: "", directions: [0] }] }, label)
  return { tuning, choice: chosen, head: trainChosen({ ...over, choice: chosen }, { start }, label) }
}
