/**
 * A model that is open: logits and losses, with optional ablation gates, and text.
 *
 * Everything runs in worker threads; this side makes batches, checks inputs and puts results back in order.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Checkpoint } from "./Checkpoint.ts"
import type { Example } from "./Example.ts"
import type { Gates } from "./Gates.ts"
import * as GateValues from "./Gates.ts"
import type { Continuation } from "./Generation.ts"
import * as Decode from "./generation/Decode.ts"
import * as Generator from "./generation/Generator.ts"
import * as Stepper from "./generation/Stepper.ts"
import { ModelError } from "./ModelError.ts"
import type { ModelShape } from "./ModelShape.ts"
import * as Batches from "./runtime/Batches.ts"
import * as Likelihoods from "./runtime/LogLikelihoods.ts"
import * as Losses from "./runtime/Losses.ts"
import type { Tensors } from "./runtime/Protocol.ts"
import type { OpenProgram } from "./runtime/WorkerPool.ts"
import * as Sampling from "./Sampling.ts"
import type { Tokenizer } from "./Tokenizer.ts"

export interface CausalModel extends Generator.Generator {
  readonly checkpoint: Checkpoint
  readonly shape: ModelShape
  /** The checkpoint's tokenizer, opened on first use; fails where there is none. */
  readonly tokenizer: Effect.Effect<Tokenizer, ModelError>
  /** Tokens that end a response. */
  readonly eosTokenIds: ReadonlyArray<number>
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
  /** Steps sequences on, for text that several models write together; its cache goes with the scope. */
  readonly stepper: Effect.Effect<Stepper.Stepper<Stepper.Logits>, ModelError, Scope.Scope>
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

  const steps: Stepper.Options = { model: name, shape, extra: () => gateFeeds(shape, noGates) }
  const decode: Generator.Writer<Continuation>["decode"] = (requests, options, sampling) =>
    program.lease((lease) =>
      Sampling.isPlain(sampling) && sampling.logProbabilities !== true
        ? Decode.run(Stepper.greedy(lease, steps), requests, options, ({ next }, row) => ({
            token: next[row] ?? 0,
            logProbability: undefined,
          }))
        : Decode.run(
            Stepper.logits(lease, steps),
            requests,
            options,
            Generator.choose(shape.vocabSize, sampling),
          ),
    )

  return {
    checkpoint,
    shape,
    tokenizer,
    eosTokenIds,
    logits,
    losses,
    logLikelihoods,
    stepper: Effect.map(program.hold, (lease) => Stepper.logits(lease, steps)),
    ...Generator.make({ name, shape, tokenizer, eosTokenIds, width: program.width, decode }),
  }
}
