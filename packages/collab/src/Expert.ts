/**
 * An expert: a frozen model, what it sees of a text, and which of its states is handed on.
 *
 * An encoder gives a pooled state and its class logits in one pass. A causal model gives the state of the last token
 * of a prompt, and for logits the log-likelihoods of the labels as continuations of it. Nothing here is trained.
 */
import { at, known } from "@hila/core/Lookup"
import { Architecture, CausalModel, Checkpoint, type ModelError, Tokenizer } from "@hila/model"
import { places } from "@hila/model/models/EncoderModel"
import * as Batches from "@hila/model/runtime/Batches"
import * as Losses from "@hila/model/runtime/Losses"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { CollabError } from "./CollabError.ts"
import { Compute } from "./Compute.ts"
import * as Cost from "./Cost.ts"
import * as ExpertGraph from "./ExpertGraph.ts"
import * as View from "./View.ts"

/** How a checkpoint serves as an expert. */
export const Spec = Schema.Struct({
  name: Schema.String,
  view: View.View,
  /** Which state is handed on: of the first token (CLS), the mean of all, or of the last token. */
  pooling: Schema.Literals(["first", "mean", "last"]),
  /** Behind how many layers it is taken; an encoder's logits come from all. Absent: behind all. */
  layer: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** For causal models: the prompt around `{text}`, and the text of each class as it goes on. */
  prompt: Schema.optionalKey(Schema.Struct({ template: Schema.String, labels: Schema.Array(Schema.String) })),
})
export type Spec = typeof Spec.Type

/** What an expert says of one text. */
export interface Reading {
  /** [width] */
  readonly features: Float32Array
  /** [classes]; empty where the model has no classes of its own */
  readonly logits: Float32Array
}

export interface Expert {
  readonly spec: Spec
  readonly width: number
  /** Classes it has logits of; 0 where it has none. */
  readonly classes: number
  readonly parameters: number
  /** Bytes of its weights as they are run. */
  readonly bytes: number
  /** The tokens it sees of each text. */
  readonly tokens: (
    texts: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, ModelError>
  /** Operations of a forward pass over so many tokens, a multiply-add being two. */
  readonly flops: (tokens: number) => number
  /** Readings of several texts, in their order. */
  readonly read: (texts: ReadonlyArray<string>) => Effect.Effect<ReadonlyArray<Reading>, ModelError>
}

const openEncoder = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, spec: Spec) {
  const shape = yield* Architecture.resolveEncoder(checkpoint.config, checkpoint.tensors)
  const tokenizer = yield* Tokenizer.open(checkpoint)
  const { layer = shape.layers.length, pooling } = spec
  const compute = yield* Compute
  const program = yield* compute.open(
    spec.name,
    ExpertGraph.encoder(shape, checkpoint.tensors, { layer, pooling }),
  )
  const { all, bytes } = Cost.weights(checkpoint)
  const [width, classes] = [shape.hiddenSize, shape.classifier.labels.length]
  const limit = Math.min(spec.view.tokens, shape.maxPositions)
  const view = View.of({ ...spec.view, tokens: limit })
  const tokens: Expert["tokens"] = (texts) => Effect.map(tokenizer.encodeAll(texts), (rows) => rows.map(view))
  const run = Effect.fnUntraced(function* (rows: ReadonlyArray<ReadonlyArray<number>>) {
    const { rows: _, targets: __, ...feeds } = Batches.feeds(rows, [], "right")
    const lengths = Batches.int32(
      Int32Array.from(rows, ({ length }) => length),
      [rows.length, 1],
    )
    const outputs = yield* program.lease((lease) =>
      lease.run({ ...feeds, places: places(shape, rows), lengths }, ["features", "logits"]),
    )
    const [features, logits] = [Losses.float32(outputs["features"]), Losses.float32(outputs["logits"])]
    return rows.map((_row, i): Reading => ({
      features: features.slice(i * width, (i + 1) * width),
      logits: logits.slice(i * classes, (i + 1) * classes),
    }))
  })
  const read: Expert["read"] = Effect.fnUntraced(function* (texts) {
    const rows = yield* tokens(texts)
    for (const [i, row] of rows.entries()) yield* Losses.checkTokens(spec.name, shape, `text ${i}`, row)
    const readings: Array<Reading> = []
    const batches = Batches.plan(
      shape,
      rows.map(({ length }) => ({ length, total: length, rows: 1 })),
    )
    const one = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
      const own = yield* run(batch.map((i) => at(rows, i)))
      batch.forEach((index, i) => (readings[index] = at(own, i)))
    })
    yield* Effect.forEach(batches, one, { concurrency: program.width, discard: true })
    return readings
  })
  const flops = (count: number) => Cost.flops(checkpoint, shape, count)
  return { spec, width, classes, parameters: all, bytes, tokens, flops, read } satisfies Expert
})

/** The same model with its first layers only: what lies above them is never computed. */
const truncated = (checkpoint: Checkpoint.Checkpoint, layers: number): Checkpoint.Checkpoint => ({
  ...checkpoint,
  config: { ...checkpoint.config, num_hidden_layers: layers },
})

const openCausal = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, spec: Spec) {
  const whole = yield* CausalModel.open(checkpoint)
  const { layer = whole.shape.layers.length, prompt = { template: "{text}", labels: [] } } = spec
  const below =
    layer < whole.shape.layers.length ? yield* CausalModel.open(truncated(checkpoint, layer)) : whole
  const tokenizer = yield* whole.tokenizer
  const [before = "", after = ""] = prompt.template.split("{text}")
  const head = yield* tokenizer.encode(before)
  const encoded = yield* tokenizer.encodeAll([after, ...prompt.labels], { addSpecial: false })
  const [tail, labels] = [at(encoded, 0), encoded.slice(1)]
  const longest = Math.max(0, ...labels.map(({ length }) => length))
  const room = whole.shape.maxPositions - head.length - tail.length - longest
  const view = View.of({ ...spec.view, tokens: Math.min(spec.view.tokens, room) }, false)
  const tokens: Expert["tokens"] = (texts) =>
    Effect.map(tokenizer.encodeAll(texts, { addSpecial: false }), (rows) =>
      rows.map((row) => [...head, ...view(row), ...tail]),
    )
  const width = whole.shape.hiddenSize
  const read: Expert["read"] = Effect.fnUntraced(function* (texts) {
    const rows = yield* tokens(texts)
    const hidden = yield* below.hidden(rows)
    const continued = rows.flatMap((row) =>
      labels.map((label) => ({ tokens: [...row, ...label], contextLength: row.length })),
    )
    const likelihoods = labels.length === 0 ? [] : yield* whole.logLikelihoods(continued)
    return rows.map((row, i): Reading => {
      const states = at(hidden, i)
      const own = likelihoods.slice(i * labels.length, (i + 1) * labels.length)
      const logits = Float32Array.from(own, ({ sum }) => sum)
      if (spec.pooling !== "mean") {
        const at = spec.pooling === "first" ? 0 : row.length - 1
        return { features: states.slice(at * width, (at + 1) * width), logits }
      }
      const features = new Float32Array(width)
      for (const [j, value] of states.entries())
        features[j % width] = known(features[j % width]) + value / row.length
      return { features, logits }
    })
  })
  const { all, bytes } = Cost.weights(checkpoint)
  const extra = labels.reduce((sum, { length }) => sum + length, 0)
  const flops = (count: number) => Cost.flops(checkpoint, whole.shape, count + extra)
  return { spec, width, classes: labels.length, parameters: all, bytes, tokens, flops, read } satisfies Expert
})

/** Opens an expert until the scope closes: a causal model where the specification has a prompt, else an encoder. */
export const open = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, spec: Spec) {
  const expert: Expert =
    spec.prompt === undefined ? yield* openEncoder(checkpoint, spec) : yield* openCausal(checkpoint, spec)
  return expert
})

/** Experts of one bundle, each under its own name. */
export const openAll = Effect.fnUntraced(function* (
  checkpoints: ReadonlyArray<Checkpoint.Checkpoint>,
  specs: ReadonlyArray<Spec>,
) {
  if (checkpoints.length === 0 || checkpoints.length !== specs.length) {
    return yield* new CollabError({
      subject: "experts",
      problem: `expected as many specifications as checkpoints, at least one, got ${specs.length} for ${checkpoints.length}`,
    })
  }
  return yield* Effect.forEach(specs, (spec, i) => open(at(checkpoints, i), spec))
})
