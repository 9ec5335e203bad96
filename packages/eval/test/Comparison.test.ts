import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Accuracy } from "../src/Accuracy.ts"
import * as Comparison from "../src/Comparison.ts"
import * as GoldenLoss from "../src/GoldenLoss.ts"

const accuracy = (math: number, code: number): Accuracy => ({
  domains: [
    { domain: "math", n: 200, correct: math, accuracy: math / 200 },
    { domain: "code", n: 100, correct: code, accuracy: code / 100 },
  ],
  items: [],
})
const loss = (math: ReadonlyArray<number>, code: ReadonlyArray<number>): GoldenLoss.GoldenLoss => ({
  domains: [GoldenLoss.ofLosses("math", math), GoldenLoss.ofLosses("code", code)],
})
const entry = (name: string, accuracy: Accuracy, loss: GoldenLoss.GoldenLoss): Comparison.Entry => ({
  name,
  accuracy,
  loss,
})

const base = entry("base", accuracy(76, 85), loss([0.5, 0.3], [0.2, 0.2]))
const math = entry("math", accuracy(187, 94), loss([0.1, 0.1], [0.25, 0.25]))
const code = entry("code", accuracy(106, 96), loss([0.4, 0.4], [0.1, 0.1]))
const merged = entry("merged", accuracy(150, 95), loss([0.2, 0.2], [0.15, 0.15]))
const all = [base, math, code, merged]

describe("Comparison.make", () => {
  it.effect("puts the base at retention 0, each expert at 1 and the others between", () =>
    Effect.gen(function* () {
      const { rows } = yield* Comparison.make(all, { base: "base" })
      const retentions = Object.fromEntries(rows.map((row) => [row.name, row.retentions]))
      assert.deepStrictEqual(retentions["base"], { math: 0, code: 0 })
      assert.strictEqual(retentions["math"]?.["math"], 1)
      assert.approximately(retentions["math"]?.["code"] ?? 0, -0.5, 1e-12)
      assert.approximately(retentions["merged"]?.["math"] ?? 0, 2 / 3, 1e-12)
      assert.approximately(retentions["merged"]?.["code"] ?? 0, 0.5, 1e-12)
      assert.approximately(rows[3]?.retention ?? 0, 7 / 12, 1e-12)
    }),
  )

  it.effect("averages domains alike and names the worst, whatever their sizes", () =>
    Effect.gen(function* () {
      const { rows } = yield* Comparison.make(all, { base: "base" })
      assert.approximately(rows[3]?.mean ?? 0, (0.75 + 0.95) / 2, 1e-12)
      assert.strictEqual(rows[3]?.worst, 0.75)
    }),
  )

  it.effect("has no retention where the expert gains nothing over the base", () =>
    Effect.gen(function* () {
      const same = entry("math", base.accuracy, base.loss)
      const { rows } = yield* Comparison.make([base, same, code], { base: "base" })
      assert.isNull(rows[2]?.retentions["math"])
      assert.strictEqual(rows[2]?.retention, 1)
      const lone = yield* Comparison.make([base], { base: "base", experts: { math: "base", code: "base" } })
      assert.isNull(lone.rows[0]?.retention)
    }),
  )

  it.effect("takes experts by another name than their domain's", () =>
    Effect.gen(function* () {
      const renamed = { ...math, name: "calculator" }
      const { golden, rows } = yield* Comparison.make([base, renamed, code], {
        base: "base",
        experts: { math: "calculator" },
      })
      assert.deepStrictEqual(golden, [
        { domain: "math", n: 2, expert: "calculator" },
        { domain: "code", n: 2, expert: "code" },
      ])
      assert.strictEqual(rows[1]?.retentions["math"], 1)
    }),
  )

  it.effect("says which model is missing, doubled or measured on other data", () =>
    Effect.gen(function* () {
      const problem = (entries: ReadonlyArray<Comparison.Entry>, name = "base") =>
        Effect.map(Effect.flip(Comparison.make(entries, { base: name })), ({ blame, message }) => {
          assert.strictEqual(blame, "input")
          return message
        })
      assert.strictEqual(
        yield* problem(all, "vase"),
        "comparison: base vase is not among the models base, math, code, merged",
      )
      assert.strictEqual(
        yield* problem([base, math]),
        "comparison: the expert of code, code is not among the models base, math",
      )
      assert.strictEqual(
        yield* problem([base, base]),
        "comparison: models need different names, got base, base",
      )
      const short = entry("short", merged.accuracy, loss([0.2], [0.1, 0.1]))
      assert.strictEqual(
        yield* problem([...all, short]),
        "comparison: golden loss of short is over math (1), code (2), that of base over math (2), code (2); " +
          "measure both on the same",
      )
    }),
  )
})

describe("Comparison.artifact", () => {
  it.effect("shows an aligned table that states every n", () =>
    Effect.gen(function* () {
      const comparison = yield* Comparison.make(all, { base: "base" })
      assert.strictEqual(
        Comparison.artifact.show(comparison),
        [
          "           math     code    mean   worst  retention",
          "        n = 200  n = 100                  n = 2 + 2",
          "───────────────────────────────────────────────────",
          "base     38.0 %   85.0 %  61.5 %  38.0 %      0.000",
          "math     93.5 %   94.0 %  93.8 %  93.5 %      0.250",
          "code     53.0 %   96.0 %  74.5 %  53.0 %      0.500",
          "merged   75.0 %   95.0 %  85.0 %  75.0 %      0.583",
        ].join("\n"),
      )
      assert.strictEqual(Comparison.artifact.summary(comparison), "4 models, best mean math 93.8 %")
    }),
  )
})
