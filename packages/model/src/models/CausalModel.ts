/**
 * A model that is open: logits and losses, with optional ablation gates, and text.
 *
 * Everything runs in worker threads; this side makes batches, checks inputs and puts results back in order.
 */
import * as Checkpoints from "../checkpoint/Checkpoint.ts"
import * as GenerationConfig from "../generation/GenerationConfig.ts"
import * as CausalGraph from "../graphs/CausalGraph.ts"
import { sensitivity } from "../graphs/SensitivityGraph.ts"
import { asModelError, nameOf } from "../architectures/SharedShape.ts"
import { Runtime } from "../runtime/Runtime.ts"
import * as Tokenizers from "../text/Tokenizer.ts"
import { at } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import type { Example } from "../text/Example.ts"
import type { AblationGates } from "../attribution/AblationGates.ts"
import * as GateValues from "../attribution/AblationGates.ts"
import type { Continuation } from "../generation/Generation.ts"
import * as Decode from "../generation/Decode.ts"
import * as Generator from "../generation/Generator.ts"
import * as Stepper from "../generation/Stepper.ts"
import { groupsOf } from "../graphs/SensitivityGraph.ts"
import { ModelError } from "../ModelError.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"
import * as Batches from "../runtime/Batches.ts"
import * as Likelihoods from "../runtime/LogLikelihoods.ts"
import * as Losses from "../runtime/Losses.ts"
import * as PerPosition from "../runtime/PerPosition.ts"
import type { Tensors } from "../runtime/Protocol.ts"
import type { OpenProgram } from "../runtime/WorkerPool.ts"
import * as Sampling from "../generation/Sampling.ts"
import type { Sensitivity } from "../attribution/Sensitivity.ts"
import * as Sensitivities from "../attribution/Sensitivity.ts"
import type { Tokenizer } from "../text/Tokenizer.ts"

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
    options?: { readonly gates?: AblationGates },
  ) => Effect.Effect<ReadonlyArray<Float32Array>, ModelError>
  /** Last hidden states of every position, after the final norm, [length, hiddenSize] per row of tokens. */
  readonly hidden: CausalModel["logits"]
  /** Mean negative log-likelihood of each example's response, in nats per token. */
  readonly losses: (
    examples: ReadonlyArray<Example>,
    options?: { readonly gates?: AblationGates },
  ) => Effect.Effect<Float64Array, ModelError>
  /** How sensitive each example's loss is to the parameters of each layer, Σ |θ · ∂Loss/∂θ|. */
  readonly sensitivity: (examples: ReadonlyArray<Example>) => Effect.Effect<Sensitivity, ModelError>
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
  /** The program with derivatives, opened when it is first asked for. */
  readonly sensitivityProgram: Effect.Effect<OpenProgram, ModelError>
}

const input = (model: string, problem: string) => new ModelError({ model, problem, blame: "input" })

/** The gate inputs of a run: fresh copies, since buffers are handed over to the worker. */
const gateFeeds = (shape: ModelShape, gates: AblationGates): Tensors => ({
  "gates.heads": Batches.float32(gates.heads.slice(), [shape.layers.length, shape.heads]),
  "gates.mlp": Batches.float32(gates.mlp.slice(), [shape.layers.length]),
})

/** The model over an open program. */
export const make = (parts: Parts): CausalModel => {
  const { checkpoint, eosTokenIds, name, program, sensitivityProgram, shape, tokenizer } = parts
  const noGates = GateValues.filled(shape, 1)
  const checkGates = (gates: AblationGates) => {
    const problem = GateValues.misfit(gates, shape)
    return problem === undefined ? Effect.void : Effect.fail(input(name, problem))
  }

  const perPosition = (output: string, width: number): CausalModel["logits"] =>
    Effect.fnUntraced(function* (rows, { gates = noGates } = {}) {
      yield* checkGates(gates)
      const extra = ({ length }: typeof rows) => ({
        ...Batches.emptyPast(shape, length),
        ...gateFeeds(shape, gates),
      })
      return yield* PerPosition.read(rows, { model: name, shape, program, output, width, extra })
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
            token: at(next, row),
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
    logits: perPosition("logits", shape.vocabSize),
    hidden: perPosition("hidden", shape.hiddenSize),
    losses,
    sensitivity: (examples) =>
      Effect.flatMap(sensitivityProgram, (own) =>
        Sensitivities.measure(name, shape, groupsOf(shape), own, examples),
      ),
    logLikelihoods,
    stepper: Effect.map(program.hold, (lease) => Stepper.logits(lease, steps)),
    ...Generator.make({ name, shape, tokenizer, eosTokenIds, width: program.width, decode }),
  }
}

/** Opens a decoder with its language-model head; its sessions close with the scope. */
export const open = Effect.fn("CausalModel.open")(function* (
  checkpoint: Checkpoint,
): Effect.fn.Return<CausalModel, ModelError, Runtime | Scope.Scope> {
  const runtime = yield* Runtime
  const name = nameOf(checkpoint)
  const shape = yield* Effect.mapError(Checkpoints.validate(checkpoint), asModelError(name))
  return make({
    name,
    checkpoint,
    shape,
    program: yield* runtime.start(name, CausalGraph.causal(shape, checkpoint.tensors)),
    sensitivityProgram: yield* runtime.later(name, () => sensitivity(shape, checkpoint.tensors)),
    tokenizer: yield* Effect.cached(Tokenizers.open(checkpoint)),
    eosTokenIds: yield* GenerationConfig.eosTokenIds(checkpoint, shape),
  })
})
