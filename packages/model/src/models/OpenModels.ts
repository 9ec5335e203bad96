/**
 * The ways to open checkpoints on a pool of workers: what each checks, and which graphs its programs are.
 */
import * as Effect from "effect/Effect"
import * as BlockModel from "../blocks/BlockModel.ts"
import * as Pieces from "../blocks/Pieces.ts"
import * as CausalModel from "./CausalModel.ts"
import * as Checkpoint from "../checkpoint/Checkpoint.ts"
import * as InterpolatedFisher from "../attribution/InterpolatedFisher.ts"
import * as InterpolatedModel from "./InterpolatedModel.ts"
import * as EncoderModel from "./EncoderModel.ts"
import * as GenerationConfig from "../generation/GenerationConfig.ts"
import * as CausalGraph from "../graphs/CausalGraph.ts"
import { deltaFisher } from "../graphs/InterpolatedFisherGraph.ts"
import * as InterpolatedGraph from "../graphs/InterpolatedGraph.ts"
import { encoder } from "../graphs/Encoder.ts"
import { sensitivity } from "../graphs/SensitivityGraph.ts"
import * as SuffixGraph from "../graphs/SuffixGraph.ts"
import { unitMeans } from "../graphs/UnitOutputMeansGraph.ts"
import { virtualMerge, virtualMergeEntropy, virtualMergeGradient } from "../graphs/VirtualMergeGraph.ts"
import type { LanguageModel } from "./LanguageModel.ts"
import { ModelError } from "../ModelError.ts"
import { identity } from "../runtime/Identity.ts"
import * as Programs from "../runtime/Programs.ts"
import type { WorkerPool } from "../runtime/WorkerPool.ts"
import * as SharedShape from "../architectures/SharedShape.ts"
import { asModelError, nameOf } from "../architectures/SharedShape.ts"
import * as StatisticsModel from "../attribution/StatisticsModel.ts"
import * as Tokenizer from "../text/Tokenizer.ts"
import * as UnitOutputMeans from "../attribution/UnitOutputMeans.ts"
import * as UnitInterventions from "./UnitInterventions.ts"
import * as UnitFeeds from "./UnitFeeds.ts"
import * as VirtualMerge from "./VirtualMerge.ts"

/** The service over a pool that is already there. */
export const fromPool = (pool: WorkerPool): LanguageModel["Service"] => ({
  identity,
  open: Effect.fnUntraced(function* (checkpoint) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoint.validate(checkpoint), asModelError(name))
    const program = yield* Programs.start(pool, name, CausalGraph.causal(shape, checkpoint.tensors))
    return CausalModel.make({
      name,
      checkpoint,
      shape,
      program,
      sensitivityProgram: yield* Programs.later(pool, name, () => sensitivity(shape, checkpoint.tensors)),
      tokenizer: yield* Effect.cached(Tokenizer.open(checkpoint)),
      eosTokenIds: yield* GenerationConfig.eosTokenIds(checkpoint, shape),
    })
  }),
  openEncoder: Effect.fnUntraced(function* (checkpoint) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoint.validateEncoder(checkpoint), asModelError(name))
    const program = yield* Programs.start(pool, name, encoder(shape, checkpoint.tensors))
    const tokenizer = yield* Effect.cached(Tokenizer.open(checkpoint))
    return EncoderModel.make({ name, checkpoint, shape, program, tokenizer })
  }),
  openDelta: Effect.fnUntraced(function* (base, expert) {
    const name = nameOf(expert)
    const shape = yield* SharedShape.of(base, [expert])
    const ends = { base: base.tensors, expert: expert.tensors }
    return InterpolatedModel.make({
      name,
      shape,
      program: yield* Programs.later(pool, name, () => InterpolatedGraph.delta(shape, ends)),
      gradientProgram: yield* Programs.later(pool, name, () => InterpolatedGraph.deltaGradient(shape, ends)),
    })
  }),
  openMoves: Effect.fnUntraced(function* ({ base, expert, from }, examples) {
    const name = nameOf(from)
    const shape = yield* SharedShape.of(base, [expert, from])
    const moving = { from: from.tensors, base: base.tensors, expert: expert.tensors }
    return yield* UnitInterventions.make({
      name,
      shape,
      examples,
      streams: (layers) => Programs.prepare(pool, name, SuffixGraph.streams(shape, from.tensors, layers)),
      suffix: (span) => Programs.prepare(pool, name, SuffixGraph.moving(shape, span, moving)),
      steps: Effect.succeed(UnitFeeds.moving(shape)),
    })
  }),
  openAblations: Effect.fnUntraced(function* (checkpoint, examples, replacement) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoint.validate(checkpoint), asModelError(name))
    const { tensors } = checkpoint
    const means = Programs.prepare(pool, name, unitMeans(shape, tensors)).pipe(
      Effect.flatMap((program) => UnitOutputMeans.measure(shape, program, examples)),
      Effect.scoped,
    )
    return yield* UnitInterventions.make({
      name,
      shape,
      examples,
      streams: (layers) => Programs.prepare(pool, name, SuffixGraph.streams(shape, tensors, layers)),
      suffix: (span) => Programs.prepare(pool, name, SuffixGraph.ablating(shape, span, tensors, replacement)),
      steps: yield* Effect.cached(
        Effect.map(replacement === "mean" ? means : Effect.undefined, (own) =>
          UnitFeeds.ablating(shape, own),
        ),
      ),
    })
  }),
  openDeltaFisher: Effect.fnUntraced(function* (base, expert) {
    const name = nameOf(expert)
    const shape = yield* SharedShape.of(base, [expert])
    const program = yield* Programs.start(pool, name, deltaFisher(shape, base.tensors, expert.tensors))
    return InterpolatedFisher.make({ name, shape, program })
  }),
  openVirtualMerge: Effect.fnUntraced(function* (base, experts, groupOf) {
    const name = `merge over ${nameOf(base)}`
    if (experts.length === 0) {
      return yield* new ModelError({ model: name, problem: "expected at least one expert", blame: "input" })
    }
    const shape = yield* SharedShape.of(base, experts)
    const { groups, indexOf } = VirtualMerge.groupsOf([...shape.expected.keys()], groupOf)
    const merge = {
      shape,
      base: base.tensors,
      experts: experts.map(({ tensors }) => tensors),
      groupOf: indexOf,
      groups: groups.length,
    }
    return VirtualMerge.make({
      name,
      shape,
      experts: experts.length,
      groups,
      program: yield* Programs.start(pool, name, virtualMerge(merge)),
      gradientProgram: yield* Programs.later(pool, name, () => virtualMergeGradient(merge)),
      entropyProgram: yield* Programs.later(pool, name, () => virtualMergeEntropy(merge)),
    })
  }),
  openStatistics: Effect.fnUntraced(function* (checkpoint) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoint.validate(checkpoint), asModelError(name))
    const { tensors } = checkpoint
    return yield* StatisticsModel.make({
      name,
      shape,
      tensors,
      start: (graph) => Programs.start(pool, name, graph),
    })
  }),
  openBlocks: Effect.fnUntraced(function* (checkpoint, { memory }) {
    const name = nameOf(checkpoint)
    const shape = yield* Effect.mapError(Checkpoint.validate(checkpoint), asModelError(name))
    const pieces = yield* Pieces.make(name, checkpoint, shape, memory)
    return yield* BlockModel.make({ name, checkpoint, shape, pieces, runner: yield* pool.blocks(name) })
  }),
})
