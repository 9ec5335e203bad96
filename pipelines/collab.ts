/**
 * Small models that answer together: experts → features → gate and fusion → comparison and guide.
 *
 * Without `data` it makes up texts, so that everything, the training of the experts included, runs in a minute or two.
 * With `--set data=…` it reads AG News, medical abstracts, DBpedia classes or IMDB from a directory of the user's.
 */
import { Pipeline, Source } from "@hila/core"
import { Compute, Stages as Collab } from "@hila/collab"
import { at } from "@hila/core/Lookup"
import * as Schema from "effect/Schema"
import { timedHeads } from "./stages/Collab.ts"
import { namesOf, runOf, topK } from "./stages/CollabRun.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Rate = Schema.Finite.check(Schema.isGreaterThan(0))

export default Pipeline.make({
  name: "collab",
  options: {
    data: Pipeline.option(Schema.String, "", "directory of a data set; made-up texts where there is none"),
    seeds: Pipeline.option(Schema.NonEmptyArray(Schema.Int), [0], "one run each: division, experts, heads"),
    rows: Pipeline.option(Count, 1600, "made-up texts to train on"),
    vocabulary: Pipeline.option(Count, 4000, "pieces of the vocabulary at most"),
    hidden: Pipeline.option(
      Count.check(Schema.isMultipleOf(32)),
      64,
      "width of the experts, a multiple of 32",
    ),
    tokens: Pipeline.option(Count, 16, "tokens that the longer experts see of a text"),
    epochs: Pipeline.option(Count, 8, "epochs of training an expert"),
    rate: Pipeline.option(Rate, 1e-3, "learning rate of experts"),
    larger: Pipeline.option(Schema.Boolean, true, "whether one model as large as all experts is trained too"),
    tune: Pipeline.option(
      Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
      0,
      "settings tried on the validation rows for each head over features",
    ),
    narrow: Pipeline.option(
      Schema.Boolean,
      false,
      "whether heads are also trained for one expert that the gate chooses",
    ),
    runs: Pipeline.option(Count, 100, "answers that are timed, each way"),
  },
  build: ({ data, rows, runs: timed, seeds, ...settings }) => {
    const texts =
      data === ""
        ? Collab.synthetic(
            {},
            { classes: 6, train: rows, test: Math.ceil((3 * rows) / 8), seed: 0 },
            "made up",
          )
        : Collab.texts({ files: Source.directory(data, Collab.files) })
    const names = namesOf(settings)
    const runs = seeds.map((seed) => runOf(texts, settings, seed))
    const comparison = Collab.compare(
      { evaluations: runs.map(({ evaluation }) => evaluation) },
      {},
      "all seeds",
    )
    // What does not depend on chance is taken of the first seed: how long answers take, the bundle, the trials.
    const { alone, aloneSpecs, cascades, divided, experts, fused, last, specs, trials } = at(runs, 0)
    const latency = Collab.latency(
      {
        models: experts,
        alone,
        texts: divided,
        heads: timedHeads.map((name) => at(fused, names.indexOf(name))),
        cascades,
        last,
        comparison,
      },
      { specs, alone: aloneSpecs, heads: timedHeads, topK, runs: timed, warm: Math.min(20, timed) },
    )
    const bundle = Collab.bundle(
      { models: experts, texts: divided, head: last, cascades: [at(cascades, 1)] },
      { specs },
    )
    const guide = Collab.guide({ comparison })
    return { ...trials, report: comparison, guide, latency, bundle }
  },
  layer: Compute.layer,
})
