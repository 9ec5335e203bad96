/**
 * Contamination as a pipeline stage: a task's items looked for in files of texts and in golden data.
 */
import { Artifact, Stage } from "@hila/core"
import { at } from "@hila/core/Lookup"
import { Example } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Contamination from "./contamination/Contamination.ts"
import * as Overlap from "./contamination/Overlap.ts"
import * as Texts from "./contamination/Texts.ts"
import { filesArtifact, itemsArtifact } from "./TaskStages.ts"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Positive = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/** What was found of a task's items. */
const Found = Schema.Struct({
  task: Schema.String,
  /** Words per n-gram. */
  n: Positive,
  /** Per item: its n-grams, those found, and their share of them, 0…1. */
  items: Schema.Array(Schema.Struct({ id: Schema.Int, grams: Count, found: Count, share: Schema.Finite })),
})

/** It in the store; the summary is the share of items that reach the threshold. */
export const artifact = Artifact.json("contamination", Found, {
  summary: ({ items, n, task }) => {
    const share = items.length === 0 ? 0 : Contamination.reached(items) / items.length
    return `${task}: ${Contamination.reached(items)} of ${items.length} items (${(100 * share).toFixed(1)} %) with an overlap of at least ${Contamination.threshold} in ${n}-grams`
  },
})

/** Looks for a task's items in `against`, directories of text files, and in `golden` data, in n-grams of `n` words (13). */
export const contamination = Stage.make({
  name: "contamination",
  version: 1,
  inputs: {
    items: itemsArtifact,
    against: Stage.each(filesArtifact),
    golden: Stage.each(Example.artifact),
  },
  params: { n: Schema.optionalKey(Positive) },
  output: artifact,
  run: Effect.fn(function* ({ against, golden, items: { config, items } }, { n = Overlap.standardLength }) {
    const files = against.flatMap((directory) => Object.entries(directory.files))
    const texts = yield* Effect.forEach(files, ([name, path]) => Texts.read(path, name))
    const examples = golden.flatMap((set) =>
      set.map(({ prompt, response }) => Texts.ofRow([prompt, response])),
    )
    const found = Contamination.ofTasks([items], [...texts.flat(), ...examples], n)
    return { task: config.task, n, items: at(found, 0) }
  }),
})
