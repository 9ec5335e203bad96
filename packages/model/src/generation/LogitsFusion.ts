/**
 * Text that several models write together: at every step, what small experts learned over their small base is added to
 * the logits of a large model, L + Σ α_t·(M_t − S).
 *
 * The weights are found anew at every step (Dynamic Logits Fusion, Fan et al., 2024) or fixed. Fixed at 1 this is proxy
 * tuning (Liu et al., 2024); with the small model as the large one, plain arithmetic of logits. All models must have
 * one vocabulary. Nothing is trained and no weights are merged.
 */
import { at, entry } from "@hila/core/Lookup"
import * as Effect from "effect/Effect"
import type { CausalModel } from "../models/CausalModel.ts"
import type { Continuation } from "./Generation.ts"
import * as Alpha from "./Alpha.ts"
import * as Decode from "./Decode.ts"
import * as Generator from "./Generator.ts"
import type { Logits, Stepper } from "./Stepper.ts"
import * as Vocabulary from "./Vocabulary.ts"
import { ModelError } from "../ModelError.ts"

export interface Models {
  readonly large: CausalModel
  /** What the experts come from. */
  readonly small: CausalModel
  readonly experts: ReadonlyArray<CausalModel>
}

export interface Options {
  /** α of each expert at every step, instead of a search. */
  readonly alphas?: ReadonlyArray<number>
  /** The largest α that a search tries, > 0. Default: 2. */
  readonly maximum?: number
  /** The distance between two α that a search tries, > 0. Default: 0.1. */
  readonly step?: number
}

/** A continuation and its log: α of each expert at each of its tokens, [tokens][experts]. */
export interface Fused extends Continuation {
  readonly alphas: ReadonlyArray<ReadonlyArray<number>>
}

/** The combined logits of each row, and the weights they were combined with. */
interface Outputs extends Logits {
  readonly alphas: ReadonlyArray<ReadonlyArray<number>> // [rows][experts]
}

const nameOf = ({ checkpoint }: CausalModel): string => Vocabulary.nameOf(checkpoint)

const refuse = (model: CausalModel, problem: string) =>
  new ModelError({ model: nameOf(model), problem, blame: "input" })

/** Checks that two models give the same meaning to every token. */
const checkVocabulary = Effect.fnUntraced(function* (one: CausalModel, other: CausalModel) {
  const [expected, got] = [one.shape.vocabSize, other.shape.vocabSize]
  if (expected !== got) {
    const problem = `another vocabulary than ${nameOf(one)}: expected ${expected} tokens, got ${got}`
    return yield* refuse(other, problem)
  }
  yield* Vocabulary.check(one.checkpoint, other.checkpoint)
})

/** One stepper over all models. */
const combined = Effect.fnUntraced(function* ({ experts, large, small }: Models, options: Options) {
  const steppers = yield* Effect.forEach([large, small, ...experts], ({ stepper }) => stepper)
  const { alphas, maximum = 2, step = 0.1 } = options
  const fuse = ([l, s, ...rest]: ReadonlyArray<Logits>): Outputs => {
    const vocabulary = large.shape.vocabSize
    const rows = (l?.logits.length ?? 0) / vocabulary
    const all = new Float32Array(rows * vocabulary)
    const log = Array.from({ length: rows }, (_, row) => {
      const of = (outputs: Logits | undefined) =>
        (outputs?.logits ?? all).subarray(row * vocabulary, (row + 1) * vocabulary)
      const tuned = rest.map(of)
      const weights = alphas ?? Alpha.search(of(l), of(s), tuned, { maximum, step })
      all.set(Alpha.combine(of(l), of(s), tuned, weights), row * vocabulary)
      return weights
    })
    return { logits: all, alphas: log }
  }
  const each = (use: (stepper: Stepper<Logits>) => Effect.Effect<Logits, ModelError>) =>
    Effect.map(Effect.forEach(steppers, use, { concurrency: "unbounded" }), fuse)
  return {
    start: (prompts) => each((stepper) => stepper.start(prompts)),
    next: (tokens, from) => each((stepper) => stepper.next(tokens, from)),
  } satisfies Stepper<Outputs>
})

/**
 * A generator whose text the models write together. Its continuations say which α each token was written with; their
 * log-probabilities are those of the combined distribution.
 */
export const make = Effect.fnUntraced(function* (
  models: Models,
  options: Options = {},
): Effect.fn.Return<Generator.Generator<Fused>, ModelError> {
  const { experts, large, small } = models
  const { alphas = experts.map(() => 0), maximum = 2, step = 0.1 } = options
  if (alphas.length !== experts.length || !alphas.every((alpha) => Number.isFinite(alpha))) {
    return yield* refuse(large, `alphas: expected ${experts.length} numbers, got ${JSON.stringify(alphas)}`)
  }
  if (!(step > 0 && maximum >= step && maximum < Infinity)) {
    return yield* refuse(large, `expected 0 < step ≤ maximum, got step ${step} and maximum ${maximum}`)
  }
  for (const other of [small, ...experts]) yield* checkVocabulary(large, other)

  const decode: Generator.Writer<Fused>["decode"] = (requests, settings, sampling) =>
    Effect.scoped(
      Effect.gen(function* () {
        const take = Generator.choose(large.shape.vocabSize, sampling)
        const log = new Map(requests.map(({ key }) => [key, new Array<ReadonlyArray<number>>()]))
        const continuations = yield* Decode.run(
          yield* combined(models, options),
          requests,
          settings,
          (outputs, row, sequence) => {
            entry(log, sequence.key).push(at(outputs.alphas, row))
            return take(outputs, row, sequence)
          },
        )
        return continuations.map((continuation, i) => {
          const key = requests[i]?.key
          return { ...continuation, alphas: (key === undefined ? undefined : log.get(key)) ?? [] }
        })
      }),
    )
  const maxPositions = Math.min(...[large, small, ...experts].map(({ shape }) => shape.maxPositions))
  return Generator.make({
    name: nameOf(large),
    shape: { ...large.shape, maxPositions },
    tokenizer: large.tokenizer,
    eosTokenIds: large.eosTokenIds,
    width: 1,
    decode,
  })
})
