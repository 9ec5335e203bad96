/**
 * One seed of `pipelines/collab.ts`: its division of the texts, the experts that are trained on it, what they say of the
 * texts, and the heads and cascades over that.
 */
import type { Node } from "@hila/core"
import { type LabelledText, Stages as Collab } from "@hila/collab"
import { at } from "@hila/core/Lookup"
import { Stages as Merging } from "@hila/merge"
import {
  encoderSizes,
  expertOptions,
  headDomains,
  headOptions,
  heads,
  narrowHeads,
  specsOf,
  tunedHeads,
} from "./Collab.ts"
import { tunedHead } from "./TunedHeads.ts"

/** What is the same for every seed. */
export interface Settings {
  /** Pieces of the vocabulary at most. */
  readonly vocabulary: number
  /** Width of the experts. */
  readonly hidden: number
  /** Tokens that the longer experts see of a text. */
  readonly tokens: number
  readonly epochs: number
  readonly rate: number
  /** Whether one model as large as all experts is trained too. */
  readonly larger: boolean
  /** Settings tried on the validation rows for each head over features. */
  readonly tune: number
  /** Whether heads are also trained for one expert that the gate chooses. */
  readonly narrow: boolean
}

/** Experts that answers are compared with when the gate lets only so many run. */
export const topK = [1, 2]

/** The heads by the names that tables give them, and which of them are tuned. */
const planned = ({ narrow, tune }: Pick<Settings, "narrow" | "tune">) => {
  const trained = [...heads, ...(narrow ? narrowHeads : [])].map(({ name, ...own }) => ({
    name,
    start: { ...headOptions, ...own },
  }))
  const searched = trained.filter(({ name }) => tune > 0 && tunedHeads.includes(name))
  return { trained, searched }
}

/** The strategies of a run, in the order of its heads. */
export const namesOf = (settings: Pick<Settings, "narrow" | "tune">): ReadonlyArray<string> => {
  const { searched, trained } = planned(settings)
  return [...trained.map(({ name }) => name), ...searched.map(({ name }) => `${name}, tuned`)]
}

type Texts = Node.Node<LabelledText.Texts, unknown>

/** Everything that one seed makes. */
export const runOf = (texts: Texts, settings: Settings, seed: number) => {
  const { epochs, hidden, rate, tokens, tune } = settings
  const { larger: largerSpec, specs } = specsOf(tokens)
  const sizes = encoderSizes(hidden)
  const merged = { ...at(specs, 1), name: "merged weights" }
  const { searched, trained } = planned(settings)
  const names = namesOf(settings)
  const label = (what: string) => `${what}, seed ${seed}`
  const divided = Collab.divide({ texts }, { heads: 0.2, validation: 0.15, seed }, `seed ${seed}`)
  const vocabulary = Collab.vocabulary({ texts: divided }, { size: settings.vocabulary }, `seed ${seed}`)
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
    .slice(0, settings.larger ? 1 : 0)
    .map((params) => Collab.trainExpert(training, params, `larger ${seed}`))
  const average = Merging.linear({ models: experts }, {}, label("experts"))

  // What everybody says of the texts for heads, validation and test: extracted once.
  const read = (model: (typeof experts)[number], spec: (typeof specs)[number]) =>
    Collab.features({ model, texts: divided }, { spec }, label(spec.name))
  const features = experts.map((model, i) => read(model, at(specs, i)))
  const alone = [...larger.map((model) => read(model, largerSpec)), read(average, merged)]
  const queries = Collab.queries({ model: at(experts, 0), texts: divided }, {}, label("gate"))
  // The same experts with 8-bit weights, each alone.
  const integers = experts.map((model, i) => Collab.quantise({ model }, {}, label(at(specs, i).name)))
  const eight = specs.map((spec) => ({ ...spec, name: `${spec.name}, int8` }))
  const eightFeatures = integers.map((model, i) => read(model, at(eight, i)))

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
  const last = at(fused, names.indexOf("F3 concat + MLP"))
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
    alone: [...larger, ...integers],
    cascades,
    divided,
    evaluation,
    experts,
    fused,
    last,
    /** How features are read of the experts, and of the models that answer alone, in their order. */
    specs,
    aloneSpecs: [...larger.map(() => largerSpec), ...eight],
    /** The trials by the number of the strategy, `tuning-F3`. */
    trials: Object.fromEntries(
      searched.flatMap(({ name }, i) => {
        const tuning = tunings[i]?.tuning
        return tuning === undefined ? [] : [[`tuning-${name.split(" ")[0]}`, tuning] as const]
      }),
    ),
  }
}
