/**
 * Trains experts from scratch on a data set's directory, without a pipeline:
 *
 *     node --conditions=@hila/source packages/collab/training/experts.ts <data> <out> [seed] [parts|views]
 *
 * Writes one BERT-style checkpoint per expert to <out>, which transformers loads as BertForSequenceClassification. With
 * `views`, each expert learns from another part of every text; with `parts`, each from a third of the rows.
 */
import { Compute, Datasets, EncoderTraining, LabelledText, View, WordPiece } from "@hila/collab"
import * as Effect from "effect/Effect"
import { mkdirSync, readdirSync } from "node:fs"
import { join, resolve } from "node:path"

const [data = ".", out = "experts", seedText = "0", mode = "views"] = process.argv.slice(2)
const seed = Number(seedText)

const size = { layers: 2, hidden: 64, heads: 2, inner: 128, positions: 128 }
const options = { epochs: 8, batch: 32, rate: 7e-4, weightDecay: 0.01, dropout: 0.3 }
const views: ReadonlyArray<readonly [string, View.View]> = [
  ["brief", { from: "start", tokens: 13 }],
  ["start", { from: "start", tokens: 40 }],
  ["end", { from: "end", tokens: 40 }],
]

const main = Effect.gen(function* () {
  const files = Object.fromEntries(readdirSync(data).map((name) => [name, resolve(data, name)]))
  const texts = yield* Datasets.read({ files })
  const { classes, experts: rows } = yield* LabelledText.divide(texts, { heads: 0.2, validation: 0.15 }, seed)
  const vocabulary = WordPiece.train(
    rows.map(({ text }) => text),
    { size: 4000 },
  )
  mkdirSync(out, { recursive: true })
  for (const [i, [name, view]] of views.entries()) {
    const started = performance.now()
    const own = mode === "parts" ? LabelledText.part(rows, { index: i, of: views.length }) : rows
    const { curve } = yield* EncoderTraining.train(join(out, name), {
      size,
      vocabulary,
      classes,
      rows: own,
      view: View.of(view),
      initialSeed: 0,
      options: { ...options, seed: 10 * seed + i },
    })
    const seconds = ((performance.now() - started) / 1000).toFixed(0)
    process.stdout.write(`${name}: ${own.length} rows, loss ${curve.at(-1)?.toFixed(3)}, ${seconds} s\n`)
  }
})

await Effect.runPromise(Effect.provide(main, Compute.layer))
