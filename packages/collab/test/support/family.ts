/** A small family that tests share: made-up texts and two experts trained on them for a moment. */
import { Checkpoint } from "@hila/model"
import { Effect } from "effect"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Spec } from "../../src/Expert.ts"
import * as Synthetic from "../../src/Synthetic.ts"
import * as EncoderFiles from "../../src/training/EncoderFiles.ts"
import * as EncoderTraining from "../../src/training/EncoderTraining.ts"
import * as WordPiece from "../../src/training/WordPiece.ts"
import * as View from "../../src/View.ts"

export const texts = Synthetic.make({ classes: 3, train: 180, test: 40, seed: 1 })
export const vocabulary = WordPiece.train(
  texts.train.map(({ text }) => text),
  { size: 300 },
)
export const size = { layers: 2, hidden: 16, heads: 2, inner: 32, positions: 32 }
export const options = { epochs: 3, batch: 16, rate: 3e-3, weightDecay: 0.01, dropout: 0.1, seed: 0 }

export const specs: ReadonlyArray<Spec> = [
  { name: "start", view: { from: "start", tokens: 10 }, pooling: "first" },
  { name: "end", view: { from: "end", tokens: 14 }, pooling: "mean" },
]

export const temporary = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "hila-collab-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true })),
)

/** Trains one expert into a new directory below `directory`. */
export const train = (directory: string, index: number, name = `expert-${index}`) =>
  EncoderTraining.train(join(directory, name), {
    size,
    vocabulary,
    classes: texts.classes,
    rows: texts.train,
    view: View.of(specs[index]!.view),
    initialSeed: index,
    options,
  })

/** Writes an expert with weights as they begin: enough where it does not matter what is said. */
export const untrained = (directory: string, index: number) => {
  const { classes } = texts
  const parameters = EncoderFiles.initial(size, vocabulary.length, classes.length, index)
  const path = join(directory, `untrained-${index}`)
  return Effect.andThen(
    EncoderFiles.write(path, { size, vocabulary, classes, parameters }),
    Checkpoint.open(path),
  )
}

/** The same numbers from row to row: reproducible, and of every sign. */
export const numbers = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(12.9898 * (i + 1) + 78.233 * (seed + 1)) * 0.9)
