/**
 * Trains a small encoder from scratch: cross-entropy by AdamW, with gradients by ONNX Runtime.
 *
 * The forward pass is the one that `@hila/model` runs checkpoints with, differentiated by its own rules; nothing about
 * the network is written twice. Words are dropped at random against overfitting. Deterministic from the seed on one
 * machine; another machine's vector instructions may round otherwise.
 */
import { at, known } from "@hila/core/Lookup"
import { Checkpoint, ModelError, Tokenizer } from "@hila/model"
import { lossGradients } from "@hila/model/graphs/LossGraph"
import { forward } from "@hila/model/graphs/Encoder"
import * as Graph from "@hila/model/onnx/Graph"
import * as Op from "@hila/model/onnx/Op"
import * as Batches from "@hila/model/runtime/Batches"
import * as Losses from "@hila/model/runtime/Losses"
import * as Effect from "effect/Effect"
import { Compute } from "../Compute.ts"
import * as Random from "../Random.ts"
import * as AdamW from "./AdamW.ts"
import * as EncoderFiles from "./EncoderFiles.ts"
import * as FedParameters from "./FedParameters.ts"
import { specials } from "./WordPiece.ts"

/** A sequence and its class. */
export interface Sample {
  readonly tokens: ReadonlyArray<number>
  readonly label: number
}

export interface Options {
  readonly epochs: number
  readonly batch: number
  /** Highest rate: reached after a tenth of the steps, then falling to 0 in a line. */
  readonly rate: number
  readonly weightDecay: number
  /** Share of tokens replaced by [MASK] in training. */
  readonly dropout: number
  readonly seed: number
}

/** Mean loss in nats of each epoch. */
export type Curve = ReadonlyArray<number>

const mask = specials.indexOf("[MASK]")

/** Batches of similar length, in random order: shuffled, sorted within windows of sixteen batches, shuffled again. */
const batches = (samples: ReadonlyArray<Sample>, size: number, random: Random.Random) => {
  const order = random.order(samples.length)
  const window = 16 * size
  const made: Array<ReadonlyArray<Sample>> = []
  for (let start = 0; start < order.length; start += window) {
    const near = order
      .slice(start, start + window)
      .map((i) => at(samples, i))
      .toSorted((a, b) => a.tokens.length - b.tokens.length)
    for (let at = 0; at < near.length; at += size) made.push(near.slice(at, at + size))
  }
  return random.order(made.length).map((i) => at(made, i))
}

/** Replaces a share of the tokens between the first and the last. */
const corrupted = ({ tokens }: Sample, share: number, random: Random.Random): ReadonlyArray<number> =>
  tokens.map((token, i) => (i > 0 && i < tokens.length - 1 && random.next() < share ? mask : token))

/** The graph of loss and gradients of a BERT-style encoder, with everything that is trained as an input. */
const trainingGraph = (shape: Parameters<typeof forward>[1], fed: FedParameters.Fed) =>
  Graph.build("encoder-training", (builder) => {
    const { logits } = forward(builder, shape, FedParameters.weights(builder, fed))
    const targets = builder.input("targets", "i32", ["batch", 1])
    const logLikelihood = Op.gatherElements(Op.logSoftmax(logits, -1), targets, 1)
    const variables = FedParameters.variables(fed)
    const derivatives = lossGradients(builder, logLikelihood, [...variables.values()])
    return {
      logLikelihood,
      ...Object.fromEntries([...variables.keys()].map((name, i) => [name, at(derivatives, i)])),
    }
  })

/** Opens loss and gradients of the encoder that `checkpoint` describes, at parameters that are given each time. */
export const open = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint) {
  const shape = yield* Checkpoint.validateEncoder(checkpoint)
  const fed = FedParameters.empty()
  const compute = yield* Compute
  const program = yield* compute.open("encoder training", trainingGraph(shape, fed))
  /** Log-likelihood of each sample's class, and gradients of the mean loss. */
  return Effect.fnUntraced(function* (parameters: AdamW.Parameters, samples: ReadonlyArray<Sample>) {
    const { keyPositions, positions, tokens } = Batches.feeds(
      samples.map((sample) => sample.tokens),
      [],
      "right",
    )
    const count = samples.length
    const indices = {
      tokens: Int32Array.from(tokens.data as Int32Array),
      places: Int32Array.from(positions.data as Int32Array),
    }
    const outputs = yield* program.lease((lease) =>
      lease.run(
        {
          ...FedParameters.feeds(fed, parameters, indices, tokens.dims),
          tokens,
          positions,
          places: Batches.int32(indices.places.slice(), positions.dims),
          keyPositions,
          targets: Batches.int32(
            Int32Array.from(samples, ({ label }) => label),
            [count, 1],
          ),
          coefficients: Batches.float32(new Float32Array(count).fill(-1 / count), [count, 1]),
        },
        ["logLikelihood", ...FedParameters.variables(fed).keys()],
      ),
    )
    return {
      logLikelihood: Losses.float32(outputs["logLikelihood"]),
      gradients: FedParameters.gradients(fed, parameters, indices, outputs),
    }
  })
})

/** Trains the weights in place; `onEpoch` is told each epoch's mean loss. */
const fit = Effect.fnUntraced(function* (
  parameters: AdamW.Parameters,
  samples: ReadonlyArray<Sample>,
  options: Options,
  step: Effect.Success<ReturnType<typeof open>>,
  onEpoch: (epoch: number, loss: number) => Effect.Effect<void>,
) {
  const { batch, dropout, epochs, rate, seed, weightDecay } = options
  const optimiser = AdamW.make(parameters, { weightDecay, beta2: 0.98 })
  const random = Random.make(Random.seedOf(seed, "batches"))
  const total = epochs * Math.ceil(samples.length / batch)
  const warm = Math.max(1, Math.floor(total / 10))
  const curve: Array<number> = []
  let steps = 0
  for (let epoch = 0; epoch < epochs; epoch++) {
    let sum = 0
    for (const own of batches(samples, batch, random)) {
      const inputs = own.map((sample) => ({ ...sample, tokens: corrupted(sample, dropout, random) }))
      const { gradients, logLikelihood } = yield* step(parameters, inputs)
      sum -= logLikelihood.reduce((a, b) => a + b, 0)
      steps += 1
      const now = steps < warm ? steps / warm : Math.max(0, (total - steps) / (total - warm + 1))
      optimiser.step(clipped(gradients, 1), rate * now)
    }
    const loss = sum / samples.length
    if (!Number.isFinite(loss)) {
      return yield* new ModelError({
        model: "encoder training",
        problem: `the loss of epoch ${epoch + 1} is ${loss}; lower the rate`,
        blame: "input",
      })
    }
    curve.push(loss)
    yield* onEpoch(epoch, loss)
  }
  return curve
})

/** Gradients scaled down so that their norm is at most `limit`. */
const clipped = (gradients: ReadonlyMap<string, Float32Array>, limit: number) => {
  let squares = 0
  for (const gradient of gradients.values()) for (const value of gradient) squares += value * value
  const norm = Math.sqrt(squares)
  if (norm > limit) {
    for (const gradient of gradients.values())
      for (let i = 0; i < gradient.length; i++) gradient[i] = (known(gradient[i]) * limit) / norm
  }
  return gradients
}

/** Texts with their classes, and what comes of them. */
export interface Plan {
  readonly size: EncoderFiles.Size
  readonly vocabulary: ReadonlyArray<string>
  readonly classes: ReadonlyArray<string>
  readonly rows: ReadonlyArray<{ readonly text: string; readonly label: number }>
  /** Tokens of a text, from the tokens of its whole. */
  readonly view: (tokens: ReadonlyArray<number>) => ReadonlyArray<number>
  /** Seed of the initial weights: experts that are to be merged share it. */
  readonly initialSeed: number
  readonly options: Options
}

/** Trains an encoder and writes its checkpoint to `directory`, which is new; returns it with its curve. */
export const train = Effect.fnUntraced(function* (
  directory: string,
  { classes, initialSeed, options, rows, size, view, vocabulary }: Plan,
  onEpoch: (epoch: number, loss: number) => Effect.Effect<void> = () => Effect.void,
) {
  const parameters = EncoderFiles.initial(size, vocabulary.length, classes.length, initialSeed)
  // The untrained checkpoint says what the graph is, and its tokenizer reads the texts.
  yield* EncoderFiles.write(directory, { size, vocabulary, classes, parameters })
  const checkpoint = yield* Checkpoint.open(directory)
  const tokenizer = yield* Tokenizer.open(checkpoint)
  const encoded = yield* tokenizer.encodeAll(rows.map(({ text }) => text))
  const samples = rows.map(({ label }, i) => ({ label, tokens: view(at(encoded, i)) }))
  const step = yield* open(checkpoint)
  const curve: Curve = yield* fit(parameters, samples, options, step, onEpoch)
  yield* EncoderFiles.write(directory, { size, vocabulary, classes, parameters })
  return { checkpoint: yield* Checkpoint.open(directory), curve }
}, Effect.scoped)
