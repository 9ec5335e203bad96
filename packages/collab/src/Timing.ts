/**
 * Timing whole answers: of experts and models alone, of heads over all and over chosen experts, and of cascades.
 *
 * Texts go through tokenizer, gate, experts and head as they do behind the endpoint.
 */
import { at } from "@hila/core/Lookup"
import type { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import type * as Cascade from "./Cascade.ts"
import * as Collaboration from "./Collaboration.ts"
import * as Expert from "./Expert.ts"
import * as Head from "./heads/Head.ts"
import { choices } from "./heads/HeadSpec.ts"
import * as Latency from "./Latency.ts"

type File = Parameters<typeof Head.read>[0]

/** What answers. */
export interface Timed {
  readonly models: ReadonlyArray<Checkpoint.Checkpoint>
  /** Models that answer alone, beside the experts. */
  readonly alone: ReadonlyArray<Checkpoint.Checkpoint>
  readonly heads: ReadonlyArray<File>
  readonly cascades: ReadonlyArray<Cascade.Cascade>
  /** What cascades fall back to. */
  readonly last: File
  readonly classes: ReadonlyArray<string>
}

/** How models read, how heads are called, and how often each way is asked. */
export interface Plan extends Latency.Repetitions {
  readonly specs: ReadonlyArray<Expert.Spec>
  readonly alone: ReadonlyArray<Expert.Spec>
  readonly heads: ReadonlyArray<string>
  /** Gated heads are also timed with so many experts. */
  readonly topK: ReadonlyArray<number>
}

/** The times of every way of answering the texts, one after another. */
export const measure = Effect.fnUntraced(function* (
  { alone, cascades, classes, heads, last, models }: Timed,
  texts: ReadonlyArray<string>,
  plan: Plan,
) {
  const expert = (name: string, model: Checkpoint.Checkpoint, spec: Expert.Spec) =>
    Effect.scoped(
      Effect.flatMap(Expert.open(model, spec), ({ read }) => Latency.measure(name, read, texts, plan)),
    )
  const collaboration = (
    name: string,
    options: Omit<Collaboration.Options, "classes" | "models" | "specs">,
  ) =>
    Effect.scoped(
      Effect.flatMap(Collaboration.open({ models, specs: plan.specs, classes, ...options }), ({ answer }) =>
        Latency.measure(name, answer, texts, plan),
      ),
    )
  const head = Effect.fnUntraced(function* (file: File, called: string) {
    const { spec } = yield* Head.read(file)
    // A head that is asked for all experts needs no gate to choose them.
    return yield* Effect.forEach(choices(spec.strategy, models.length, plan.topK), (k) =>
      k === models.length
        ? collaboration(called, { head: file })
        : collaboration(`${called}, top ${k}`, { head: file, topK: k }),
    )
  })
  return [
    ...(yield* Effect.forEach(plan.specs, (spec, i) => expert(`expert ${spec.name}`, at(models, i), spec))),
    ...(yield* Effect.forEach(plan.alone, (spec, i) => expert(spec.name, at(alone, i), spec))),
    ...(yield* Effect.forEach(heads, (file, i) => head(file, at(plan.heads, i)))).flat(),
    ...(yield* Effect.forEach(cascades, (cascade) =>
      collaboration(`F7 cascade ${Math.round(100 * cascade.budget)} %`, { head: last, cascade }),
    )),
  ]
})
