/**
 * Small models that answer together: experts → features → gate and fusion → comparison.
 *
 * Without `data` it makes up texts, so that everything, the training of the experts included, runs in a minute or two.
 * With `--set data=…` it reads AG News, medical abstracts, DBpedia classes or IMDB from a directory of the user's.
 */
import { Pipeline, Source } from "@hila/core"
import { Compute, Stages as Collab } from "@hila/collab"
import * as Schema from "effect/Schema"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Rate = Schema.Finite.check(Schema.isGreaterThan(0))

export default Pipeline.make({
  name: "collab",
  options: {
    data: Pipeline.option(Schema.String, "", "directory of a data set; made-up texts where there is none"),
    seeds: Pipeline.option(Schema.Array(Schema.Int), [0], "seeds of divisions, experts and heads, one run each"),
    rows: Pipeline.option(Count, 1600, "made-up texts to train on"),
    vocabulary: Pipeline.option(Count, 4000, "pieces of the vocabulary at most"),
    hidden: Pipeline.option(Count, 64, "width of the experts; a multiple of 16"),
    tokens: Pipeline.option(Count, 16, "tokens that the longer experts see of a text"),
    epochs: Pipeline.option(Count, 8, "epochs of training an expert"),
    rate: Pipeline.option(Rate, 1e-3, "learning rate of experts"),
  },
  build: ({ data, epochs, hidden, rate, rows, seeds, tokens, vocabulary: pieces }) => {
    const texts =
      data === ""
        ? Collab.synthetic({}, { classes: 6, train: rows, test: 600, seed: 0 }, "made up")
        : Collab.texts({ files: Source.directory(data, Collab.files) })
    const size = { layers: 2, hidden, heads: hidden / 32, inner: 2 * hidden, positions: 128 }
    const training = { epochs, rate, batch: 32, weightDecay: 0.01, dropout: 0.3, initialSeed: 0 }
    const specs = [
      { name: "brief", view: { from: "start", tokens: Math.max(8, Math.floor(tokens / 3)) }, pooling: "mean" },
      { name: "start", view: { from: "start", tokens }, pooling: "mean" },
      { name: "end", view: { from: "end", tokens }, pooling: "mean" },
    ] as const

    const runs = seeds.map((seed) => {
      const divided = Collab.divide({ texts }, { heads: 0.2, validation: 0.15, seed }, `seed ${seed}`)
      const vocabulary = Collab.vocabulary({ texts: divided }, { size: pieces })
      const whole = { index: 0, of: 1 }
      const experts = specs.map(({ name, view }, i) =>
        Collab.trainExpert(
          { texts: divided, vocabulary },
          { ...training, size, view, part: whole, all: false, seed: 10 * seed + i },
          `${name} ${seed}`,
        ),
      )
      const larger = Collab.trainExpert(
        { texts: divided, vocabulary },
        {
          ...training,
          size: { ...size, hidden: (hidden * 9) / 4, heads: 4, inner: (hidden * 9) / 2 },
          view: { from: "start", tokens: 2 * tokens },
          part: whole,
          all: true,
          seed: 10 * seed + 9,
        },
        `larger ${seed}`,
      )
      const features = experts.map((model, i) =>
        Collab.features({ model, texts: divided }, { spec: specs[i]! }, `${specs[i]!.name} ${seed}`),
      )
      return { larger, features }
    })
    return Object.fromEntries(
      runs.flatMap(({ features, larger }, s) => [
        [`larger${s}`, larger],
        ...features.map((node, i) => [`features${s}${i}`, node]),
      ]),
    )
  },
  layer: Compute.layer,
})
