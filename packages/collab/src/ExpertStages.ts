/**
 * From texts to features as pipeline stages: division, vocabulary, experts trained here, what experts say.
 */
import { Artifact, Stage } from "@hila/core"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { Compute } from "./Compute.ts"
import * as Datasets from "./Datasets.ts"
import * as Expert from "./Expert.ts"
import * as Features from "./Features.ts"
import * as LabelledText from "./LabelledText.ts"
import * as Quantise from "./Quantise.ts"
import * as Query from "./Query.ts"
import * as Synthetic from "./Synthetic.ts"
import * as EncoderFiles from "./training/EncoderFiles.ts"
import * as EncoderTraining from "./training/EncoderTraining.ts"
import * as WordPiece from "./training/WordPiece.ts"
import * as View from "./View.ts"

const Count = Schema.Int.check(Schema.isGreaterThan(0))
const Share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

/** Pieces of a vocabulary in the order of their ids. */
const vocabularyArtifact = Artifact.json("vocabulary", Schema.Array(Schema.String), {
  summary: (pieces) => `${pieces.length} pieces`,
})

/** The files of a user's data set. */
export const files = Artifact.directory("data-set")

/** The texts of a data set from its files; see `Datasets`. */
export const texts = Stage.make({
  name: "texts",
  version: 1,
  inputs: { files },
  output: LabelledText.artifact,
  run: ({ files: from }) => Datasets.read(from),
})

/** Made-up texts; see `Synthetic`. */
export const synthetic = Stage.make({
  name: "synthetic-texts",
  version: 1,
  params: { classes: Count, train: Count, test: Count, seed: Schema.Int },
  output: LabelledText.artifact,
  run: (_, options) => Effect.succeed(Synthetic.make(options)),
})

/** What texts are used for: experts, heads, validation, test. */
export const divide = Stage.make({
  name: "divide",
  version: 1,
  inputs: { texts: LabelledText.artifact },
  params: { heads: Share, validation: Share, seed: Schema.Int },
  output: LabelledText.divided,
  run: ({ texts: all }, { heads, seed, validation }) => LabelledText.divide(all, { heads, validation }, seed),
})

/** A WordPiece vocabulary of the experts' texts. */
export const vocabulary = Stage.make({
  name: "vocabulary",
  version: 1,
  inputs: { texts: LabelledText.divided },
  params: { size: Count },
  output: vocabularyArtifact,
  run: ({ texts: { experts } }, { size }) =>
    Effect.sync(() =>
      WordPiece.train(
        experts.map(({ text }) => text),
        { size },
      ),
    ),
})

/** An encoder trained from scratch on one of several disjoint parts of the experts' texts. */
export const trainExpert = Stage.make({
  name: "train-expert",
  version: 1,
  inputs: { texts: LabelledText.divided, vocabulary: vocabularyArtifact },
  params: {
    size: EncoderFiles.Size,
    view: View.View,
    part: Schema.Struct({ index: Schema.Int, of: Count }),
    /** Whether the rows that heads are trained on are learnt from as well: for a model that answers alone. */
    all: Schema.Boolean,
    initialSeed: Schema.Int,
    epochs: Count,
    batch: Count,
    rate: Schema.Finite,
    weightDecay: Schema.Finite,
    dropout: Share,
    seed: Schema.Int,
  },
  output: Checkpoint.artifact,
  run: Effect.fn(function* ({ texts: all, vocabulary: pieces }, params) {
    const { part, view, size, initialSeed, all: withHeads, ...options } = params
    const own = LabelledText.part(all.experts, part)
    const instance = yield* Stage.Instance
    const directory = join(yield* Stage.scratch, "expert")
    const { checkpoint } = yield* EncoderTraining.train(
      directory,
      {
        size,
        vocabulary: pieces,
        classes: all.classes,
        rows: withHeads ? [...own, ...all.heads] : own,
        view: View.of(view),
        initialSeed,
        options,
      },
      (epoch) => instance.progress(epoch + 1, 0, options.epochs),
    )
    return checkpoint
  }),
})

/** A checkpoint whose linear weights and word embeddings are 8-bit integers. */
export const quantise = Stage.make({
  name: "quantise",
  version: 1,
  inputs: { model: Checkpoint.artifact },
  output: Checkpoint.artifact,
  run: Effect.fn(function* ({ model }) {
    return yield* Quantise.write(model, join(yield* Stage.scratch, "quantised"))
  }),
})

/** What an expert says of the texts for heads, validation and test. */
export const features = Stage.make({
  name: "features",
  version: 1,
  inputs: { model: Checkpoint.artifact, texts: LabelledText.divided },
  params: { spec: Expert.Spec },
  output: Features.artifact,
  environment: [Compute],
  run: Effect.fn(function* ({ model, texts: divided }, { spec }) {
    const expert = yield* Expert.open(model, spec)
    const { bytes, classes, parameters, width } = expert
    return yield* Features.extract(divided, {
      info: { name: spec.name, width, classes, parameters, bytes },
      flops: (all) =>
        Effect.map(expert.tokens(all), (rows) => rows.map(({ length }) => expert.flops(length))),
      read: expert.read,
    })
  }, Effect.scoped),
})

/** What gates are asked with, from the word embeddings of one expert. */
export const queries = Stage.make({
  name: "queries",
  version: 1,
  inputs: { model: Checkpoint.artifact, texts: LabelledText.divided },
  output: Features.artifact,
  run: Effect.fn(function* ({ model, texts: divided }) {
    const query = yield* Query.open(model)
    return yield* Features.extract(divided, {
      info: { name: "query", width: query.width, classes: 0, parameters: 0, bytes: 0 },
      flops: (all) => Effect.succeed(all.map(() => 0)),
      read: (rows) =>
        Effect.map(query.of(rows), (all) =>
          all.map((features) => ({ features, logits: new Float32Array(0) })),
        ),
    })
  }),
})
