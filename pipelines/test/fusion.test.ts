import { assert, describe, it, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { taskArithmetic } from "@hila/merge"
import { CausalModel, Checkpoint, LayerGroup, Runtime, Unit, VirtualMerge } from "@hila/model"
import { Effect, Layer } from "effect"
import { readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { adam } from "../stages/AdaMerging.ts"
import * as Coefficients from "../stages/Coefficients.ts"
import { rule, settle } from "../stages/Conflicts.ts"
import { write } from "../stages/Merged.ts"
import * as SensWeights from "../stages/SensWeights.ts"
import { temporaryStore } from "./command.ts"

const open = (name: string) =>
  Checkpoint.open(fileURLToPath(new URL(`../../fixtures/micro/${name}`, import.meta.url)))
const weights = (checkpoint: Checkpoint.Checkpoint) =>
  Effect.promise(() => readFile(checkpoint.files["model.safetensors"]!))

const sensitivities = [
  [3, 1, 2],
  [1, 4, 1],
  [2, 2, 2],
]
const distances = [
  [0, 5, 3],
  [4, 0, 2],
  [1, 1, 0],
]
const open3 = { use: "both", tau: "distance", temperature: 0.1, temperatureMode: "divide" } as const

describe("Sens-Merging's coefficients", () => {
  it("are 1 for one expert, for equal experts, and for experts of which nothing is known", () => {
    const ones = (groups: number, experts: number) =>
      Array.from({ length: groups }, () => Array.from({ length: experts }, () => 1))
    assert.deepStrictEqual(SensWeights.weights([[3, 1, 2]], [[0]], open3), ones(3, 1))
    const same = SensWeights.weights(
      [
        [3, 1],
        [3, 1],
      ],
      [
        [0, 2],
        [2, 0],
      ],
      open3,
    )
    assert.deepStrictEqual(same, ones(2, 2))
    const zeros = [
      [0, 0],
      [0, 0],
    ]
    for (const tau of ["distance", "inverseDistance"] as const)
      assert.deepStrictEqual(SensWeights.weights(zeros, zeros, { ...open3, tau }), ones(2, 2))
  })

  it("sum to K in every layer, go with their experts, and tend to 1 as the temperature grows", () => {
    const own = SensWeights.weights(sensitivities, distances, open3)
    for (const row of own) assert.closeTo(row[0]! + row[1]! + row[2]!, 3, 1e-12)
    const order = [2, 0, 1]
    const moved = SensWeights.weights(
      order.map((i) => sensitivities[i]!),
      order.map((i) => order.map((j) => distances[i]![j]!)),
      open3,
    )
    for (const [g, row] of moved.entries())
      for (const [k, i] of order.entries()) assert.closeTo(row[k]!, own[g]![i]!, 1e-12)
    const hot = SensWeights.weights(sensitivities, distances, { ...open3, temperature: 1e9 })
    const multiplied = { ...open3, temperature: 1e-9, temperatureMode: "multiply" } as const
    for (const table of [hot, SensWeights.weights(sensitivities, distances, multiplied)])
      assert.isTrue(table.flat().every((value) => Math.abs(value - 1) < 1e-6))
  })

  it("are softmax of α τ / T by hand, and of the inverse distance the other way round", () => {
    const [alpha, tau] = [sensitivities.map((row) => row[0]! / Math.hypot(...row)), [8 / 16, 6 / 16, 2 / 16]]
    const powers = alpha.map((value, i) => Math.exp((value * tau[i]!) / 0.1))
    const total = powers.reduce((sum, value) => sum + value, 0)
    for (const [i, value] of SensWeights.weights(sensitivities, distances, open3)[0]!.entries())
      assert.closeTo(value, (3 * powers[i]!) / total, 1e-12)
    assert.deepStrictEqual(SensWeights.taus(distances, "distance"), tau)
    const inverse = SensWeights.taus(distances, "inverseDistance")
    assert.isTrue(inverse[0]! < inverse[1]! && inverse[1]! < inverse[2]!)
  })
})

describe("The rule of conflicts", () => {
  const claims = (...of: ReadonlyArray<readonly [worth: number, conflict: number, standardError?: number]>) =>
    of.map(([worth, conflict, standardError = 0]) => ({ worth, conflict, standardError }))

  it("keeps what is in no conflict, prunes once more what is alone in one, and drops the lesser of two", () => {
    assert.isUndefined(rule(claims([1, -1], [2, 0]), [0, 1], 0))
    assert.deepStrictEqual(rule(claims([1, 2], [2, -1]), [0, 1], 0), { verdict: "halve", expert: 0 })
    assert.deepStrictEqual(rule(claims([2, 2], [1, 1]), [0, 1], 0), { verdict: "drop", expert: 1 })
  })

  it("drops of three in conflict the least, has nothing to say on one, and can ask for significance", () => {
    const three = claims([2, 1], [1, 3], [3, 1])
    assert.deepStrictEqual(rule(three, [0, 1, 2], 0), { verdict: "drop", expert: 1 })
    assert.deepStrictEqual(rule(three, [0, 2], 0), { verdict: "drop", expert: 0 })
    assert.isUndefined(rule(three, [2], 0))
    assert.deepStrictEqual(rule(claims([1, 2, 1.5], [2, 2, 1]), [0, 1], 2), { verdict: "halve", expert: 1 })
  })
})

describe("AdaMerging's steps", () => {
  it("go against the gradient by the rate at first, and stay inside [0, 1]", () => {
    const start = { lambdas: [0.3, 0.3, 0.99, 0.01], first: [0, 0, 0, 0], second: [0, 0, 0, 0] }
    const { lambdas } = adam(start, [5, -0.1, -1, 1], 0, 0.02)
    for (const [i, value] of [0.28, 0.32, 1, 0].entries()) assert.closeTo(lambdas[i]!, value, 1e-6)
  })
})

const Live = Layer.mergeAll(Runtime.layerWith({ workers: 1, threads: 2 }), Stage.layerDetached)

layer(Live)("Conflicts that are settled", (it) => {
  it.effect("keep, halve or drop each change as their verdict says, most conflicting layer first", () =>
    Effect.gen(function* () {
      const [base, ...experts] = yield* Effect.forEach(["base", "math", "code", "lang"], open)
      const tokens = (seed: number) => [
        1,
        ...Array.from({ length: 9 }, (_, i) => 4 + ((seed * (i + 5)) % 300)),
      ]
      const golden = [3, 11, 17].map((seed) =>
        [seed, seed + 40].map((own) => ({ prompt: "", response: "", tokens: tokens(own), promptLength: 4 })),
      )
      const choice = { variant: "", directions: [0, 1, 2], setting: { lambda: 0.4, rest: 0.3 } }
      const { coefficients, groups } = yield* settle.run(
        { base: base!, directions: experts, again: experts, tables: [], choice, golden },
        { every: 2, errors: 0, removed: "all" },
      )
      const total = (claims: ReadonlyArray<{ readonly conflict: number }>) =>
        claims.reduce((sum, { conflict }) => sum + conflict, 0)
      assert.sameMembers(
        groups.map(({ group }) => group),
        [0, 1, 2, 3].map((l) => `model.layers.${l}`),
      )
      assert.isAtLeast(total(groups[0]!.claims), total(groups[1]!.claims))
      const weightsOf = new Map(coefficients.rows.map(({ group, weights: own }) => [group, own]))
      const shares = { keep: [0.4, 0], halve: [0, 0.2], drop: [0, 0] }
      for (const { group, verdicts } of groups) {
        for (const [expert, verdict] of verdicts.entries()) {
          const own = weightsOf.get(group)!
          assert.closeTo(own[expert]!, shares[verdict][0]!, 1e-6)
          assert.closeTo(own[3 + expert]!, shares[verdict][1]!, 1e-6)
        }
        assert.isBelow(verdicts.filter((verdict) => verdict === "drop").length, 3)
      }
      for (const weight of weightsOf.get("model.norm.weight")!.slice(0, 3)) assert.closeTo(weight, 0.3, 1e-6)
      assert.isTrue(groups.some(({ verdicts }) => verdicts.some((verdict) => verdict !== "keep")))
    }),
  )
})

layer(Runtime.layerWith({ workers: 1, threads: 2 }))("Merges of a table of coefficients", (it) => {
  const models = Effect.all([open("base"), open("math"), open("code")])

  /** Shares of every unit of a scheme, as `adaptiveWeights` gives them. */
  const shares = Effect.fnUntraced(function* (share: (unit: number) => number) {
    const [base] = yield* models
    const { residual, units } = yield* Unit.partition(base, "kvGroup")
    const rows = units.map(({ id, index, kind, layer: l, size }, u) => ({
      unit: id,
      kind,
      layer: l,
      index,
      size,
      weights: [share(u), 1 - share(u)],
    }))
    const groups = [...new Set(residual.map(LayerGroup.of))]
    return { of: { scheme: "kvGroup" as const, experts: 2, rows }, groups }
  })

  it.effect(
    "are the base at λ = 0, the expert for one at λ = 1, and do not depend on the order of experts",
    () =>
      Effect.gen(function* () {
        const [base, math, code] = yield* models
        const store = yield* temporaryStore
        const none = yield* write(base, [math, code], Coefficients.even, { lambda: 0 }, `${store}/none`)
        assert.deepStrictEqual(yield* weights(none), yield* weights(base))
        const one = yield* write(base, [math], Coefficients.even, { lambda: 1 }, `${store}/one`)
        assert.deepStrictEqual(yield* weights(one), yield* weights(math))
        const forth = yield* write(
          base,
          [math, code],
          Coefficients.even,
          { lambda: 0.4, "expert.1": 0.5 },
          `${store}/a`,
        )
        const back = yield* write(
          base,
          [code, math],
          Coefficients.even,
          { lambda: 0.4, "expert.0": 0.5 },
          `${store}/b`,
        )
        for (const name of base.tensors.keys()) {
          const [a, b] = [
            yield* Checkpoint.readFloat32(forth, name),
            yield* Checkpoint.readFloat32(back, name),
          ]
          // The sum is rounded to bfloat16: what two orders differ by in float32 may be one step of it.
          assert.isTrue(a.every((value, i) => Math.abs(value - b[i]!) <= Math.abs(value) / 128 + 1e-6))
        }
      }),
  )

  it.effect("with equal shares are task arithmetic, but for the order of rounding", () =>
    Effect.gen(function* () {
      const [base, math, code] = yield* models
      const store = yield* temporaryStore
      const { groups, of } = yield* shares(() => 0.5)
      const table = Coefficients.ofUnits(of, groups, "mean")
      assert.isTrue(table.rows.every((row) => row.weights.every((weight) => weight === 1)))
      const merged = yield* write(base, [math, code], table, { lambda: 0.4 }, `${store}/merged`)
      const expected = yield* taskArithmetic(
        { base, experts: [math, code] },
        { lambda: 0.4 },
        `${store}/expected`,
      )
      let [different, all] = [0, 0]
      for (const name of base.tensors.keys()) {
        const [a, b] = [
          yield* Checkpoint.readFloat32(merged, name),
          yield* Checkpoint.readFloat32(expected, name),
        ]
        assert.isTrue(a.every((value, i) => Math.abs(value - b[i]!) <= Math.abs(value) / 128 + 1e-6))
        different += a.filter((value, i) => value !== b[i]).length
        all += a.length
      }
      assert.isAtMost(different / all, 1e-3)
    }),
  )

  it.effect("are what the virtual merge that was tuned is, but for rounding to the base's dtype", () =>
    Effect.gen(function* () {
      const [base, math, code] = yield* models
      const store = yield* temporaryStore
      const { groups, of } = yield* shares((u) => (u % 5) / 4)
      const table = Coefficients.ofUnits(of, groups, "mean")
      const setting = { lambda: 0.5, slope: 0.3, rest: 0.2, "expert.1": 0.8 }
      const merge = yield* VirtualMerge.open(base, [math, code], yield* Coefficients.grouping(base, table))
      const written = yield* CausalModel.open(
        yield* write(base, [math, code], table, setting, `${store}/merged`),
      )
      const tokenizer = yield* written.tokenizer
      const texts = ["Q: 12+31\nA: 43\n", "Q: rev('abc')\nA: cba\n"]
      const examples = (yield* tokenizer.encodeAll(texts)).map((tokens, i) => ({
        prompt: "",
        response: texts[i] ?? "",
        tokens,
        promptLength: 2,
      }))
      const lambdas = Coefficients.lambdas(table, merge.groups, 2, setting)
      const [virtual, real] = [yield* merge.losses(examples, lambdas), yield* written.losses(examples)]
      for (const [i, loss] of virtual.entries()) assert.closeTo(loss, real[i]!, 0.01)
    }),
  )
})

describe("Coefficients", () => {
  it("multiply λ, its slope over depth, an expert's factor, and leave what lies outside of layers its own λ", () => {
    const groups = ["model.embed_tokens.weight", "model.layers.0", "model.layers.1", "model.layers.2"]
    const table = { rows: [{ group: "model.layers.1", weights: [2, 0] }] }
    const values = Coefficients.lambdas(table, groups, 2, {
      lambda: 0.5,
      slope: 1,
      rest: 0.1,
      "expert.1": 0.5,
    })
    const expected = [0.1, 0.5, 1.5, 1, 0.05, 0.25, 0, 0.5]
    for (const [i, value] of expected.entries()) assert.closeTo(values[i]!, value, 1e-6)
  })

  it("outside of units are the layer's mean, 1 or 0", () => {
    const row = (unit: string, layer: number, weights: ReadonlyArray<number>) => ({
      unit,
      kind: "mlp" as const,
      layer,
      index: 0,
      size: 1,
      weights,
    })
    const shares = {
      scheme: "kvGroup" as const,
      experts: 2,
      rows: [row("layers.0.mlp", 0, [0.9, 0.1]), row("layers.0.kvGroup.0", 0, [0.5, 0.5])],
    }
    const outside = ["model.layers.0", "model.norm.weight"]
    const of = (residual: "mean" | "uniform" | "base") =>
      Coefficients.ofUnits(shares, outside, residual)
        .rows.slice(2)
        .map(({ weights }) => weights.map((weight) => Number(weight.toFixed(6))))
    assert.deepStrictEqual(of("mean"), [
      [1.4, 0.6],
      [1, 1],
    ])
    assert.deepStrictEqual(of("uniform"), [
      [1, 1],
      [1, 1],
    ])
    assert.deepStrictEqual(of("base"), [
      [0, 0],
      [0, 0],
    ])
  })
})
