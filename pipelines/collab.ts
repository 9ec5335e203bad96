/**
 * Small models that answer together: experts → features → gate and fusion → comparison, plot and guide.
 *
 * Without `data` it makes up texts, so that everything, the training of the experts included, runs in a minute or two.
 * With `--set data=…` it reads AG News, medical abstracts, DBpedia classes or IMDB from a directory of the user's.
 */
import { Pipeline, Source } from "@hila/core"
import { Compute, Stages as Collab } from "@hila/collab"
import { Stages as Merging } from "@hila/merge"
import * as Schema from "effect/Schema"
import {
  encoderSizes,
  expertOptions,
  headDomains,
  headOptions,
  heads,
  narrowHeads,
  specsOf,
  timedHeads,
  tunedHeads,
} from "./stages/Collab.ts"
import { tunedHead } from "./stages/TunedHeads.ts"

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
  build: ({
    data,
    epochs,
    hidden,
    larger: withLarger,
    narrow,
    rate,
    rows,
    runs: timed,
    seeds,
    tokens,
    tune,
    vocabulary: pieces,
  }) => {
    const texts =
      data === ""
        ? Collab.synthetic(
            {},
            { classes: 6, train: rows, test: Math.ceil((3 * rows) / 8), seed: 0 },
            "made up",
          )
        : Collab.texts({ files: Source.directory(data, Collab.files) })
    const { larger: largerSpec, specs } = specsOf(tokens)
    const sizes = encoderSizes(hidden)
    const merged = { ...specs[1]!, name: "merged weights" }
    const topK = [1, 2]
    const trained = [...heads, ...(narrow ? narrowHeads : [])].map(({ name, ...own }) => ({
      name,
      start: { ...headOptions, ...own },
    }))
    const searched = trained.filter(({ name }) => tune > 0 && tunedHeads.includes(name))
    const names = [...trained.map(({ name }) => name), ...searched.map(({ name }) => `${name}, tuned`)]

    const runs = seeds.map((seed) => {
      const label = (what: string) => `${what}, seed ${seed}`
      const divided = Collab.divide({ texts }, { heads: 0.2, validation: 0.15, seed }, `seed ${seed}`)
      const vocabulary = Collab.vocabulary({ texts: divided }, { size: pieces }, `seed ${seed}`)
      const learn = { ...expertOptions, epochs, rate }
      const training = { texts: divided, vocabulary }
      const experts = specs.map(({ name, view }, i) =>
        Collab.trainExpert(
          training,
          { ...learn, size: sizes.expert, view, all: false, seed: 10 * seed + i },
          `${name} ${seed}`,
        ),
      )
      // One model of about as many parameters as all experts, which learns from the heads' texts as well.
      const larger = [{ ...learn, size: sizes.larger, view: largerSpec.view, all: true, seed: 10 * seed + 9 }]
        .slice(0, withLarger ? 1 : 0)
        .map((params) => Collab.trainExpert(training, params, `larger ${seed}`))
      const average = Merging.linear({ models: experts }, {}, label("experts"))

      // What everybody says of the texts for heads, validation and test: extracted once.
      const read = (model: (typeof experts)[number] | typeof average, spec: (typeof specs)[number]) =>
        Collab.features({ model, texts: divided }, { spec }, label(spec.name))
      const features = experts.map((model, i) => read(model, specs[i]!))
      const alone = [...larger.map((model) => read(model, largerSpec)), read(average, merged)]
      const queries = Collab.queries({ model: experts[0]!, texts: divided }, {}, label("gate"))
      // The same experts with 8-bit weights, each alone.
      const integers = experts.map((model, i) => Collab.quantise({ model }, {}, label(specs[i]!.name)))
      const eight = specs.map((spec) => ({ ...spec, name: `${spec.name}, int8` }))
      const eightFeatures = integers.map((model, i) => read(model, eight[i]!))

      const over = { features, queries, texts: divided }
      const tunings = searched.map(({ name, start }) =>
        tunedHead(
          over,
          label(name),
          { ...start, seed },
          {
            domains: headDomains,
            search: { _tag: "random", trials: tune, seed },
          },
        ),
      )
      const fused = [
        ...trained.map(({ name, start }) => Collab.trainHead(over, { ...start, seed }, label(name))),
        ...tunings.map(({ head }) => head),
      ]
      const last = fused[names.indexOf("F3 concat + MLP")]!
      const cascades = [0.35, 0.5, 0.75].map((budget) =>
        Collab.cascade({ ...over, head: last }, { budget }, label(`${100 * budget} %`)),
      )
      const evaluation = Collab.evaluate(
        { ...over, heads: fused, models: [...alone, ...eightFeatures], cascades, last },
        {
          seed,
          heads: names,
          models: [...larger.map(() => largerSpec.name), merged.name, ...eight.map(({ name }) => name)],
          topK,
        },
        `seed ${seed}`,
      )
      return {
        tunings,
        alone: [...larger, ...integers],
        cascades,
        divided,
        evaluation,
        experts,
        fused,
        last,
        eight,
      }
    })

    const comparison = Collab.compare(
      { evaluations: runs.map(({ evaluation }) => evaluation) },
      {},
      "all seeds",
    )
    const first = runs[0]!
    const latency = Collab.latency(
      {
        models: first.experts,
        alone: first.alone,
        texts: first.divided,
        heads: timedHeads.map((name) => first.fused[names.indexOf(name)]!),
        cascades: first.cascades,
        last: first.last,
      },
      {
        specs,
        alone: [...(withLarger ? [largerSpec] : []), ...first.eight],
        heads: timedHeads,
        topK,
        runs: timed,
        warm: Math.min(20, timed),
      },
    )
    const guide = Collab.guide({ comparison, latency })
    const bundle = Collab.bundle(
      { models: first.experts, texts: first.divided, head: first.last, cascades: [first.cascades[1]!] },
      { specs },
    )
    // The trials of the first seed, by the number of the strategy: tuning-F3.
    const trials = Object.fromEntries(
      searched.flatMap(({ name }, i) => {
        const tuning = first.tunings[i]?.tuning
        return tuning === undefined ? [] : [[`tuning-${name.split(" ")[0]}`, tuning] as const]
      }),
    )
    return { ...trials, report: comparison, latency, guide, plot: Collab.plot({ comparison }), bundle }
  },
  layer: Compute.layer,
})
