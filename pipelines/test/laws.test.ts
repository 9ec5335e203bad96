/**
 * What must hold of every method here: one expert whole is itself, λ 0 is the base, the order of experts changes nothing,
 * equal scores are task arithmetic. Where a law does not hold of a method, `exceptions` says why. Methods that look at
 * weights alone have their laws in the merge package.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { Run, Store } from "@hila/core"
import { Checkpoint, Runtime } from "@hila/model"
import { Effect, Layer, type Scope } from "effect"
import { join } from "node:path"
import { settled } from "../stages/Conflicts.ts"
import * as Coefficients from "../stages/Coefficients.ts"
import * as Family from "../stages/Family.ts"
import { candidates, importanceOf } from "../stages/Hila.ts"
import { learned } from "../stages/Learning.ts"
import { write } from "../stages/Merged.ts"
import { regression } from "../stages/Regression.ts"
import { measured, sens } from "../stages/Sens.ts"
import { statistical } from "../stages/Statistical.ts"
import { type Bench, type Golden, type Model, type Table, tuned } from "../stages/Tuned.ts"
import { temporaryStore } from "./command.ts"

const family = Family.of({
  family: "",
  base: "",
  experts: {},
  prompts: "",
  column: "prompt",
  golden: 2,
  seed: 0,
})

/** A family's experts by their place, and their golden data. */
interface Case extends Bench {
  readonly scored: ReadonlyArray<Golden>
}

const caseOf = (order: ReadonlyArray<number>): Case => {
  const of = <A>(all: ReadonlyArray<A>) => order.map((i) => all[i]!)
  const golden = of(family.golden("score"))
  return {
    base: family.base,
    experts: of(family.experts),
    golden,
    scored: golden,
    objective: "loss",
    budget: 2,
  }
}

/** What a method merges: base + Σ λ c (direction − base). */
interface Merge {
  readonly directions: ReadonlyArray<Model>
  readonly table?: Table | undefined
}
const first = ({
  tuned: { directions, tables },
}: {
  readonly tuned: Merge & { tables: ReadonlyArray<Table> }
}) => ({
  directions,
  table: tables[0],
})

const sigma = { use: "both", tau: "distance", temperatureMode: "divide", temperatures: [0.1] } as const
const sensOn = (below: "task arithmetic" | "TIES" | "DARE") => (own: Case) =>
  first(sens(own, "", below, measured(own, own.scored), sigma))
const hilaOf = (method: "revert" | "layer", density: number) => (own: Case) =>
  candidates(own, importanceOf(own, own.scored, method), {
    densities: [density],
    follow: { gamma: 0, dropFraction: 0, floor: 1 },
    temperatures: [1],
  })[0]
/** Hi-Merging's second step on whole experts, at a given λ. */
const hiMerging =
  (lambda: number, errors = 0) =>
  (own: Case) => {
    const whole = { domains: { lambda: [lambda] as const }, search: { _tag: "grid" } as const }
    const method = tuned(own, "whole", [{ name: "", directions: own.experts }], whole)
    const options = { every: 1, errors, removed: "all" } as const
    return first(settled(own, "", method, own.experts, own.scored, options))
  }
const ada = (own: Case) => first(learned(own, "", own.scored, { by: "layer", objective: "entropy" }))
const led = (own: Case): Merge => {
  const found = statistical(own, own.scored).find(({ row }) => row === "LED")
  return { directions: found?.tuned.directions.slice(0, 1) ?? [] }
}
const regress =
  (rho = 1, lambda = 0.4) =>
  (own: Case): Merge => {
    const settings = { rhos: [rho], lambdas: [lambda] }
    return { directions: regression(own, "", own.scored, { kind: "gram" }, settings).tuned.directions }
  }

/** Where a law does not hold of a method, and why. */
const exceptions: Readonly<Record<string, string>> = {
  "one expert: HILA pruned": "what is pruned is gone; at density 1 it is HILA's weights alone",
  "one expert: Sens-Merging on TIES": "the expert is trimmed to its top fifth",
  "one expert: Sens-Merging on DARE": "a fifth of the expert is dropped, and the rest scaled up",
  "one expert: AdaMerging": "its coefficient is learned, from 0.3",
  "one expert: AdaMerging++": "trimmed, and its coefficient is learned",
  "one expert: LED": "only what matters to expert and base is elected",
  "λ 0: regression": "λ is that of the task arithmetic that the ridge pulls to; what is solved has none",
  "order: Sens-Merging on DARE": "draws go with the place of an expert",
  "order: LED at rates by turns": "rates go with the place of an expert; equal rates do not",
  "equal: Sens-Merging on TIES": "elected signs stay; it is the sum of TIES then",
  "equal: Sens-Merging on DARE": "what was dropped stays dropped; it is the sum of DARE then",
  "equal: AdaMerging": "there are no scores; it begins at equal coefficients and leaves them",
  "equal: LED": "at equal scores all experts elect the same elements, and disjointness leaves none",
}

const Live = Layer.mergeAll(
  Runtime.layerWith({ workers: 2, threads: 1 }),
  Layer.unwrap(Effect.map(temporaryStore, (path) => Store.layer(join(path, "store")))),
)

layer(Live)("Every method of fusion", (it) => {
  /** Merges at a λ, written; in their order, behind the base. */
  const written = Effect.fnUntraced(function* (
    merges: ReadonlyArray<Merge>,
    lambda: number,
  ): Effect.fn.Return<
    readonly [Checkpoint.Checkpoint, ...ReadonlyArray<Checkpoint.Checkpoint>],
    unknown,
    Runtime | Store | Scope.Scope
  > {
    const nodes = merges.flatMap(({ directions, table }, i) => [
      ...directions.map((node, k): readonly [string, Model | Table] => [`${i} ${k}`, node]),
      ...(table === undefined ? [] : [[`${i} table`, table] as const]),
    ])
    const wanted: Readonly<Record<string, Model | Table>> = Object.fromEntries(nodes)
    const values: Readonly<Record<string, unknown>> = yield* Run.outputs({ base: family.base, ...wanted })
    const found = values as Readonly<Record<string, Checkpoint.Checkpoint>>
    const tables = values as Readonly<Record<string, Coefficients.Coefficients>>
    const base = found["base"]!
    const directory = yield* temporaryStore
    const models = yield* Effect.forEach(merges, ({ directions }, i) => {
      const table = tables[`${i} table`] ?? Coefficients.even
      const own = directions.map((_, k) => found[`${i} ${k}`]!)
      return write(base, own, table, { lambda }, join(directory, `${i}`))
    })
    return [base, ...models] as const
  })

  /** How far two models are apart, as a share of how far the first is from the base. */
  const apart = Effect.fnUntraced(function* (
    base: Checkpoint.Checkpoint,
    left: Checkpoint.Checkpoint,
    right: Checkpoint.Checkpoint,
  ) {
    let [difference, change] = [0, 0]
    for (const name of base.tensors.keys()) {
      const [from, a, b] = yield* Effect.forEach([base, left, right], (each) =>
        Checkpoint.readFloat32(each, name),
      )
      a!.forEach((value, i) => {
        difference += (value - b![i]!) ** 2
        change += (value - from![i]!) ** 2
      })
    }
    return Math.sqrt(difference / Math.max(change, 1e-12))
  })
  const arithmetic = ({ experts }: Case): Merge => ({ directions: experts })

  it.effect(
    "is the expert where there is one, whole, at λ 1",
    () =>
      Effect.gen(function* () {
        const alone = caseOf([0])
        const methods = {
          "HILA, weights": hilaOf("revert", 1),
          "Sens-Merging": sensOn("task arithmetic"),
          "Hi-Merging": hiMerging(1),
          regression: regress(1, 1),
        }
        const merges = Object.values(methods).map((method) => method(alone))
        const [base, expert, ...models] = yield* written([arithmetic(alone), ...merges], 1)
        for (const [i, name] of Object.keys(methods).entries())
          assert.isAtMost(yield* apart(base, expert!, models[i]!), 5e-3, name)
      }),
    300_000,
  )

  it.effect(
    "does not depend on the order of the experts",
    () =>
      Effect.gen(function* () {
        const methods = {
          HILA: hilaOf("revert", 0.5),
          "Sens-Merging on TIES": sensOn("TIES"),
          "Hi-Merging": hiMerging(0.4),
          AdaMerging: ada,
          LED: led,
          regression: regress(),
        }
        const all = Object.values(methods)
        const cases = [caseOf([0, 1]), caseOf([1, 0])]
        const [base, ...models] = yield* written(
          cases.flatMap((own) => all.map((method) => method(own))),
          1,
        )
        for (const [i, name] of Object.keys(methods).entries())
          assert.isAtMost(yield* apart(base, models[i]!, models[all.length + i]!), 5e-3, name)
      }),
    300_000,
  )

  it.effect(
    "is task arithmetic where scores are equal",
    () =>
      Effect.gen(function* () {
        const two = caseOf([0, 1])
        const methods = {
          // By depth all experts score alike.
          HILA: hilaOf("layer", 1),
          // No γ is above 0 by so many standard errors.
          "Hi-Merging": hiMerging(1, 1e9),
          "regression, a stiff ridge": regress(1e7, 1),
        }
        const merges = Object.values(methods).map((method) => method(two))
        const [base, expected, ...models] = yield* written([arithmetic(two), ...merges], 1)
        for (const [i, name] of Object.keys(methods).entries())
          assert.isAtMost(yield* apart(base, expected!, models[i]!), 5e-3, name)
      }),
    300_000,
  )
})

describe("The laws of fusion", () => {
  it("give the base at λ 0, whatever the coefficients", () => {
    const groups = ["model.embed_tokens.weight", "model.layers.0", "model.layers.1"]
    const table = { rows: [{ group: "model.layers.1", weights: [1.7, 0.2] }] }
    const setting = { lambda: 0, slope: 0.4, "expert.1": 0.8 }
    assert.isTrue(Coefficients.lambdas(table, groups, 2, setting).every((value) => value === 0))
  })

  it("have exceptions with a reason each", () => {
    for (const [law, reason] of Object.entries(exceptions)) assert.isAbove(reason.length, 20, law)
  })
})
