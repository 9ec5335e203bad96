/**
 * A model that is open: logits, losses and greedy text, each with optional ablation gates.
 *
 * Everything runs in worker threads; this side makes batches, checks inputs and puts results back in order.
 */
import * as Effect from "effect/Effect"
import type { Checkpoint } from "./Checkpoint.ts"
import type { Example } from "./Example.ts"
import type { Gates } from "./Gates.ts"
import * as GateValues from "./Gates.ts"
import * as Generation from "./Generation.ts"
import { ModelError } from "./ModelError.ts"
import type { ModelShape } from "./ModelShape.ts"
import * as Batches from "./runtime/Batches.ts"
import * as Likelihoods from "./runtime/LogLikelihoods.ts"
import * as Losses from "./runtime/Losses.ts"
import type { Tensors } from "./runtime/Protocol.ts"
import type { OpenProgram } from "./runtime/WorkerPool.ts"
import type { Tokenizer } from "./Tokenizer.ts"

export interface GenerateOptions {
  /** New tokens at most, ≥ 1. */
  readonly maxTokens: number
  /** A response ends with the first of these in its text. */
  readonly stop?: ReadonlyArray<string>
}

export interface CausalModel {
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  /** The checkpoint's tokenizer, opened on first use; fails where there is none. */
  readonly tokenizer: Effect.Effect<Tokenizer, ModelError>
  /** Logits of every position, [length, vocabulary] per row of tokens. */
  readonly logits: (
    rows: ReadonlyArray<ReadonlyArray<number>>,
    options?: { readonly gates?: Gates },
  ) => Effect.Effect<ReadonlyArray<Float32Array>, ModelError>
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    options?: { readonly gates?: Gates },
  ) => Effect.Effect<Float64Array, ModelError>
  /** Log-likelihood of each row's continuation, `tokens[contextLength..]`; at most one more token than positions. */
  readonly logLikelihoods: (
    rows: ReadonlyArray<Likelihoods.Continued>,
  ) => Effect.Effect<ReadonlyArray<Likelihoods.LogLikelihood>, ModelError>
  /** Greedy text for each prompt. A prompt and its `maxTokens` must fit into the model's positions. */
  readonly generate: (
    prompts: ReadonlyArray<string>,
    options: GenerateOptions,
  ) => Effect.Effect<ReadonlyArray<Generation.Generation>, ModelError>
  /** Greedy continuations of token sequences; ends at an EOS token, a stop string or after `maxTokens`. */
  readonly continue: (
    prompts: ReadonlyArray<ReadonlyArray<number>>,
    options: GenerateOptions,
  ) => Effect.Effect<ReadonlyArray<Generation.Continuation>, ModelError>
}

/** What a model is made of. `name` stands for it in errors. */
export interface Parts {
  readonly name: string
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  readonly tokenizer: Effect.Effect<Tokenizer, ModelError>
  readonly eosTokenIds: ReadonlyArray<number>
  readonly program: OpenProgram
}

const input = (model: string, problem: string) => new ModelError({ model, problem, blame: "input" })

/** The gate inputs of a run: fresh copies, since buffers are handed over to the worker. */
const gateFeeds = (shape: ModelShape, gates: Gates): Tensors => ({
  "gates.heads": Batches.float32(gates.heads.slice(), [shape.layers, shape.heads]),
  "gates.mlp": Batches.float32(gates.mlp.slice(), [shape.layers]),
})

/** The model over an open program. */
export const make = ({ checkpoint, eosTokenIds, name, program, shape, tokenizer }: Parts): CausalModel => {
  const noGates = GateValues.filled(shape, 1)
  const checkGates = (gates: Gates) =>
    gates.heads.length === shape.layers * shape.heads && gates.mlp.length === shape.layers
      ? Effect.succeed(gates)
      : Effect.fail(
          input(
            name,
            `gates: expected ${shape.layers} × ${shape.heads} heads and ${shape.layers} MLPs, got ` +
              `${gates.heads.length} and ${gates.mlp.length}`,
          ),
        )

  const logits: CausalModel["logits"] = Effect.fnUntraced(function* (rows, { gates = noGates } = {}) {
    yield* checkGates(gates)
    for (const [i, row] of rows.entries()) yield* Losses.checkTokens(name, shape, `row ${i}`, row)
    const extents = rows.map(({ length }) => ({ length, total: length, rows: length }))
    const results: Array<Float32Array> = rows.map(() => new Float32Array(0))
    const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
      const sequences = batch.map((i) => rows[i] ?? [])
      const wanted = sequences.flatMap((tokens, sequence) =>
        [...tokens.keys()].map((position) => ({ sequence, position, target: 0 })),
      )
      const feeds = {
        ...Batches.feeds(sequences, wanted, "right"),
        ...Batches.emptyPast(shape, batch.length),
        ...gateFeeds(shape, gates),
      }
      const outputs = yield* program.lease((lease) => lease.run(feeds, ["logits"]))
      const all = Losses.float32(outputs["logits"])
      let at = 0
      batch.forEach((index, i) => {
        const size = (sequences[i]?.length ?? 0) * shape.vocabSize
        results[index] = all.slice(at, at + size)
        at += size
      })
    })
    yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: program.width, discard: true })
    return results
  })

  const losses: CausalModel["losses"] = Effect.fnUntraced(function* (examples, { gates = noGates } = {}) {
    yield* checkGates(gates)
    return yield* Losses.losses(name, shape, program, examples, (batch) => ({
      ...Batches.emptyPast(shape, batch),
      ...gateFeeds(shape, gates),
    }))
  })

  const logLikelihoods: CausalModel["logLikelihoods"] = (rows) =>
    Likelihoods.logLikelihoods(name, shape, program, rows, (batch) => ({
      ...Batches.emptyPast(shape, batch),
      ...gateFeeds(shape, noGates),
    }))

  const decodeAll = Effect.fnUntraced(function* (
    prompts: ReadonlyArray<ReadonlyArray<number>>,
    maxTokens: number,
    stopped: (response: ReadonlyArray<number>) => boolean,
  ) {
    if (!Number.isInteger(maxTokens) || maxTokens < 1) {
      return yield* input(name, `maxTokens: expected an integer of at least 1, got ${maxTokens}`)
    }
    for (const [i, prompt] of prompts.entries()) {
      yield* Losses.checkTokens(name, shape, `prompt ${i}`, prompt)
      if (prompt.length + maxTokens > shape.maxPositions) {
        return yield* input(
          name,
          `prompt ${i} has ${prompt.length} tokens, with maxTokens ${maxTokens} more than the model's ` +
            `${shape.maxPositions} positions; shorten the prompt or lower maxTokens`,
        )
      }
    }
    const extents = prompts.map(({ length }) => ({ length, total: length + maxTokens, rows: 1 }))
    const results: Array<Generation.Continuation> = prompts.map(() => ({ tokens: [], end: "length" }))
    const options = {
      model: name,
      shape,
      maxTokens,
      eos: new Set(eosTokenIds),
      stopped,
      gates: () => gateFeeds(shape, noGates),
    }
    const run = Effect.fnUntraced(function* (batch: ReadonlyArray<number>) {
      const selected = batch.map((i) => prompts[i] ?? [])
      const decoded = yield* program.lease((lease) => Generation.decodeBatch(lease, selected, options))
      decoded.forEach((continuation, i) => (results[batch[i] ?? 0] = continuation))
    })
    yield* Effect.forEach(Batches.plan(shape, extents), run, { concurrency: program.width, discard: true })
    return results
  })

  const generate: CausalModel["generate"] = Effect.fnUntraced(function* (prompts, { maxTokens, stop = [] }) {
    if (stop.includes("")) return yield* input(name, "stop: a stop string may not be empty")
    const words = yield* tokenizer
    const encoded = prompts.map((prompt) => words.encode(prompt))
    const continuations = yield* decodeAll(encoded, maxTokens, Generation.stopTest(words, stop))
    return continuations.map((continuation, i) => ({
      prompt: prompts[i] ?? "",
      response: Generation.responseText(words, continuation, stop),
      tokens: [...(encoded[i] ?? []), ...continuation.tokens],
      promptLength: encoded[i]?.length ?? 0,
      end: continuation.end,
    }))
  })

  return {
    checkpoint,
    shape,
    tokenizer,
    logits,
    losses,
    logLikelihoods,
    generate,
    continue: Effect.fnUntraced(function* (prompts, { maxTokens, stop = [] }) {
      const stopped = stop.length === 0 ? () => false : Generation.stopTest(yield* tokenizer, stop)
      return yield* decodeAll(prompts, maxTokens, stopped)
    }),
  }
}
