/**
 * A suite: several tasks on one model, with results on disk as each task finishes.
 *
 * In the output directory of the model lie a journal of answers, the results file, and a samples file per task. All
 * tasks are read, and their data, before the model is asked anything: a mistake in the last of them costs no time. A
 * suite that is killed goes on where it was when it is started again, since the journal has every finished answer.
 */
import { Digest } from "@hila/core"
import { entry } from "@hila/core/Lookup"
import { type CausalModel, ChatTemplate, type Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as Sandbox from "./code/Sandbox.ts"
import * as Contamination from "./contamination/Contamination.ts"
import * as Texts from "./contamination/Texts.ts"
import * as TrainedOn from "./contamination/TrainedOn.ts"
import { EvalError } from "./EvalError.ts"
import type { Options } from "./Evaluation.ts"
import * as Evaluation from "./Evaluation.ts"
import * as Answering from "./requests/Answering.ts"
import * as Journal from "./requests/Journal.ts"
import * as Files from "./results/Files.ts"
import * as Results from "./results/Results.ts"
import type * as Catalog from "./tasks/Catalog.ts"
import * as Task from "./tasks/Task.ts"

export interface SuiteOptions extends Omit<Options, "prompting"> {
  /** Where results go, below it a directory of the model's name. */
  readonly output: string
  /** Shots per task, in place of the files' own number unless that is 0. */
  readonly numFewshot?: number
  /** Whether tasks may run the programs a model writes, in the sandbox; without, such a task is refused. */
  readonly allowCode?: boolean
  /** Whether documents are asked as conversations, by the model's own chat template. */
  readonly chat?: boolean
  /** Whether shots are turns of the conversation; only with `chat`. */
  readonly multiturn?: boolean
  /** What is said before everything else, in a conversation as the system. */
  readonly system?: string
  /** Files of texts in which the items are looked for, in n-grams of 13 words. */
  readonly against?: ReadonlyArray<string>
  /** Most tokens the model reads at once; its own positions unless given. */
  readonly maxLength?: number
}

/** What happens in a suite. */
export type Event =
  /** What is about to be asked, over all tasks. */
  | {
      readonly _tag: "Planned"
      readonly tasks: ReadonlyArray<{
        readonly task: string
        readonly documents: number
        readonly requests: number
      }>
    }
  | ({ readonly _tag: "Progress"; readonly task: string } & Answering.Progress)
  | { readonly _tag: "Finished"; readonly result: Evaluation.TaskResult }

/** Files that a model's answers depend on. */
const decisive =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|vocab|added_tokens)\.json$|^merges\.txt$|\.safetensors$/

/** The digest of everything a model's answers depend on: its weights, its settings, its tokenizer. */
export const identity = Effect.fn("Suite.identity")(function* (
  checkpoint: Pick<Checkpoint.Checkpoint, "files">,
) {
  const names = Object.keys(checkpoint.files)
    .filter((name) => decisive.test(name))
    .toSorted()
  const digests = yield* Effect.forEach(names, (name) =>
    Effect.map(Digest.ofFile(entry(checkpoint.files, name)), (digest) => `${name} ${digest}`),
  )
  return Digest.of(digests.join("\n"))
})

const parametersOf = ({ checkpoint }: CausalModel.CausalModel): number =>
  [...checkpoint.tensors.values()].reduce(
    (sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1),
    0,
  )

/** A model's results on the tasks of a selection; `name` is what results call the model. */
export const run = Effect.fn("Suite.run")(function* (
  model: CausalModel.CausalModel,
  name: string,
  selection: Catalog.Selection,
  options: SuiteOptions,
  emit: (event: Event) => Effect.Effect<void> = () => Effect.void,
) {
  const started = Date.now()
  const { against = [] } = options
  const date = new Date(started)
  const reading = {
    ...(options.numFewshot === undefined ? {} : { numFewshot: options.numFewshot }),
    allowCode: options.allowCode === true,
  }
  if (options.maxLength !== undefined && (!Number.isInteger(options.maxLength) || options.maxLength < 2)) {
    const problem = `expected a number of tokens of at least 2, got ${options.maxLength}`
    return yield* new EvalError({ subject: "max length", problem })
  }
  const known = yield* TrainedOn.read(model.checkpoint.files)
  const texts = yield* Effect.forEach(against, (file) => Texts.read(file))
  const tasks = yield* Effect.forEach(selection.tasks, ({ config, file }) => Task.make(file, config, reading))
  yield* Results.checkGroups(selection.groups, tasks)
  const prompting = {
    ...(options.chat === true ? { chat: yield* ChatTemplate.open(model.checkpoint) } : {}),
    ...(options.system === undefined ? {} : { system: options.system }),
    multiturn: options.multiturn === true,
  }
  if (prompting.multiturn && prompting.chat === undefined) {
    return yield* new EvalError({
      subject: "evaluation",
      problem: "shots can be turns of a conversation only with the model's chat template: ask for both",
    })
  }
  // The sandbox shows that it holds before the model is asked anything.
  const sandbox = tasks.some(({ programs }) => programs !== undefined) ? yield* Sandbox.make : undefined
  const prepared = yield* Effect.forEach(tasks, (task) => Evaluation.prepare(task, { ...options, prompting }))
  const overlaps =
    against.length === 0
      ? []
      : Contamination.ofTasks(
          prepared.map(({ items }) => items),
          texts.flat(),
        )
  const planned = prepared.map(({ items, task }) => ({
    task: task.name,
    documents: items.length,
    requests: items.reduce((sum, { requests }) => sum + requests.length, 0),
  }))
  yield* emit({ _tag: "Planned", tasks: planned })
  const modelDigest = yield* identity(model.checkpoint)
  const directory = join(options.output, Files.sanitized(name))
  const journal = yield* Journal.open(join(directory, "journal.jsonl"))
  const respondent = yield* Answering.respondent(
    model,
    modelDigest,
    options.maxLength === undefined ? {} : { maxLength: options.maxLength },
  )
  const finished: Array<Evaluation.TaskResult> = []
  const resultsOf = () =>
    Results.make(finished, {
      model: name,
      modelDigest,
      parameters: parametersOf(model),
      maxLength: respondent.vocabulary.maxLength,
      options,
      prompting,
      against,
      groups: selection.groups,
      date: date.toISOString(),
      seconds: (Date.now() - started) / 1000,
    })
  const stamp = Files.stamp(date)
  let results = resultsOf()
  for (const [i, ready] of prepared.entries()) {
    const own = overlaps[i]
    const scored = yield* Evaluation.task(respondent, ready, journal, { ...options, sandbox }, (state) =>
      emit({ _tag: "Progress", task: ready.task.name, ...state }),
    )
    const result: Evaluation.TaskResult = {
      ...scored,
      ...(own === undefined ? {} : { overlaps: own }),
      trainedOn: TrainedOn.ofTask(known, ready.task.config),
    }
    finished.push(result)
    yield* Files.writeSamples(directory, stamp, result)
    results = resultsOf()
    yield* Files.writeResults(directory, stamp, results)
    yield* emit({ _tag: "Finished", result })
  }
  return { results, path: Files.resultsPath(directory, stamp) }
})
