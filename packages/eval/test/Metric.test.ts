import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Aggregation from "../src/metrics/Aggregation.ts"
import * as Filter from "../src/metrics/Filter.ts"
import * as Metric from "../src/metrics/Metric.ts"
import * as Functions from "../src/tasks/Functions.ts"
import * as NumericMatch from "../src/metrics/NumericMatch.ts"
import * as StandardError from "../src/metrics/StandardError.ts"

const measure = (
  output: "multiple_choice" | "generate_until",
  metric: string,
  answered: Metric.Answered,
  given: Readonly<Record<string, unknown>> = {},
) => Effect.map(Metric.make("t.yaml", output, { metric, ...given }, false), (made) => made.measure(answered))

const choices = (
  logLikelihoods: ReadonlyArray<number>,
  golds: ReadonlyArray<number>,
  texts: ReadonlyArray<string> = ["a", "bb", "好好"],
): Metric.Answered => ({
  _tag: "Choices",
  choices: texts,
  logLikelihoods,
  greedy: logLikelihoods.map((value) => value > -1),
  unconditional: [-1, -5, -3],
  golds,
})

const said = (text: string, ...references: ReadonlyArray<string>): Metric.Answered => ({
  _tag: "Texts",
  texts: [text],
  references,
  several: references.length > 1,
})

describe("Metric", () => {
  it.effect("gives ties to the first choice and divides by characters or bytes", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* measure("multiple_choice", "acc", choices([-2, -2, -3], [0])), 1)
      assert.strictEqual(yield* measure("multiple_choice", "acc", choices([-2, -2, -3], [1])), 0)
      // Per character: -2, -1, -1.5; per byte: -2, -1, -0.5.
      assert.strictEqual(yield* measure("multiple_choice", "acc_norm", choices([-2, -2, -3], [1])), 1)
      assert.strictEqual(yield* measure("multiple_choice", "acc_bytes", choices([-2, -2, -3], [2])), 1)
      assert.strictEqual(yield* measure("multiple_choice", "acc_mutual_info", choices([-2, -4, -3], [1])), 1)
      assert.strictEqual(yield* measure("multiple_choice", "exact_match", choices([-0.5, -4, -3], [0])), 1)
    }),
  )

  it("is called as in the harness: acc is the share of probability on TruthfulQA's right choices", () => {
    const said = (logLikelihood: number) => ({ logLikelihood, isGreedy: false, text: "" })
    const share = Functions.results["hila.truthfulqa_mc2"]?.(
      { mc2: { right: [0, 2] } },
      [-1002, -1002, -1002].map(said),
    )
    assert.closeTo(Number(share?.["acc"]), 2 / 3, 1e-12)
  })

  it.effect("keeps probability whole (brier)", () =>
    Effect.gen(function* () {
      const even = choices([-2, -2, -2], [0, 2])
      const brier = yield* Metric.make("t.yaml", "multiple_choice", { metric: "brier_score" }, false)
      assert.closeTo(brier.aggregation.aggregate([brier.measure(even)]), 2 / 3, 1e-12)
    }),
  )

  it.effect("ignores what exact_match is told to, in its order, and nothing else", () =>
    Effect.gen(function* () {
      const kwargs = { ignore_case: true, ignore_punctuation: true, regexes_to_ignore: [",", "(?s).*#### "] }
      const given = said("Thus\n#### 1,024!", "#### 1024", "x")
      assert.strictEqual(yield* measure("generate_until", "exact_match", given, kwargs), 1)
      assert.strictEqual(yield* measure("generate_until", "exact_match", said(" a", "a")), 0)
      // The case no-references: without a reference no text is right.
      const none = { _tag: "Texts", texts: ["a"], references: [], several: false } as const
      assert.strictEqual(yield* measure("generate_until", "exact_match", none), 0)
      const numbers = { ignore_numbers: true }
      assert.strictEqual(yield* measure("generate_until", "exact_match", said("a1", "a2"), numbers), 1)
    }),
  )

  it.effect("names the metrics there are when asked for another", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Metric.make("t.yaml", "loglikelihood", { metric: "f1" }, false))
      assert.strictEqual(
        error.message,
        "t.yaml: metric_list: there is no f1 for loglikelihood; there are acc, perplexity",
      )
    }),
  )
})

describe("NumericMatch", () => {
  it.each([
    ["$1,234.5", 1234.5],
    ["(3.1)", -3.1],
    [" 12 %", 12],
    ["3 million", undefined],
    ["none", undefined],
  ])("reads %j as %j", (text, value) => {
    assert.strictEqual(NumericMatch.number(text), value)
  })

  it.effect("allows a relative tolerance, and compares texts as texts", () =>
    Effect.gen(function* () {
      const by = (tolerance: number) => ({ tolerance })
      assert.strictEqual(
        yield* measure("generate_until", "numeric_match", said("100.9", "$100"), by(0.01)),
        1,
      )
      assert.strictEqual(
        yield* measure("generate_until", "numeric_match", said("101.1", "$100"), by(0.01)),
        0,
      )
      assert.strictEqual(
        yield* measure("generate_until", "numeric_match", said("The Method.", "the method")),
        1,
      )
    }),
  )
})

describe("Aggregation", () => {
  it("gives F1 of class 1, Matthews' correlation over any classes, and perplexities", () => {
    const { bits_per_byte, f1, matthews_corrcoef, median, weighted_perplexity } = Aggregation.table
    // sklearn: f1_score([1,1,0,0,1],[1,0,1,0,1]) = 2/3, matthews_corrcoef = 1/6
    const pairs: ReadonlyArray<Aggregation.Value> = [
      [1, 1],
      [1, 0],
      [0, 1],
      [0, 0],
      [1, 1],
    ]
    assert.closeTo(f1?.aggregate(pairs) ?? 0, 2 / 3, 1e-12)
    assert.closeTo(matthews_corrcoef?.aggregate(pairs) ?? 0, 1 / 6, 1e-12)
    assert.strictEqual(matthews_corrcoef?.aggregate([[1, 0]]), 0)
    assert.closeTo(
      weighted_perplexity?.aggregate([
        [-2, 1],
        [-4, 2],
      ]) ?? 0,
      Math.exp(2),
      1e-12,
    )
    assert.closeTo(
      bits_per_byte?.aggregate([
        [-Math.LN2, 1],
        [-Math.LN2, 3],
      ]) ?? 0,
      0.5,
      1e-12,
    )
    assert.strictEqual(median?.aggregate([3, 1, 2, 10]), 2.5)
  })
})

describe("StandardError", () => {
  const { mean } = Aggregation

  it("has a closed form for means and none for one document, no replicates, or ratios of sums", () => {
    assert.closeTo(Number(StandardError.of(mean, [0, 1, 1, 1], 10)), 0.25, 1e-12)
    assert.strictEqual(StandardError.of(mean, [1], 10), "N/A")
    assert.strictEqual(StandardError.of(mean, [0, 1], 0), "N/A")
    const { bits_per_byte = mean, median = mean } = Aggregation.table
    assert.strictEqual(
      StandardError.of(
        bits_per_byte,
        [
          [-1, 2],
          [-2, 3],
        ],
        10,
      ),
      "N/A",
    )
    assert.isAbove(Number(StandardError.of(median, [1, 2, 3, 5, 8], 100)), 0)
  })

  it("pools the errors of a group by size", () => {
    const pooled = StandardError.pooled([
      { size: 40, standardError: 0.06686668711812967 },
      { size: 30, standardError: 0.0850962943396763 },
    ])
    assert.closeTo(Number(pooled), 0.052809710718943415, 1e-15)
    assert.strictEqual(StandardError.pooled([{ size: 1, standardError: "N/A" }]), "N/A")
  })
})

describe("f1", () => {
  const make = (entry: Readonly<Record<string, unknown>>) =>
    Metric.make("t.yaml", "multiple_choice", { metric: "f1", ...entry }, false)

  it.effect("takes an average as the harness does, to which it makes no difference", () =>
    Effect.gen(function* () {
      const answers = [choices([-1, -2], [0], ["a", "b"]), choices([-2, -1], [1], ["a", "b"])]
      const [plain, averaged] = [yield* make({}), yield* make({ average: "macro", aggregation: "f1" })]
      const scoreOf = ({ aggregation, measure }: Metric.Metric) => aggregation.aggregate(answers.map(measure))
      assert.strictEqual(scoreOf(averaged), scoreOf(plain))
      const wrong = yield* Effect.flip(make({ average: "mean" }))
      assert.match(
        wrong.message,
        /metric_list\.f1: average: expected binary, micro, macro, weighted, got "mean"$/,
      )
      const unknown = yield* Effect.flip(make({ averge: "macro" }))
      assert.match(unknown.message, /metric_list\.f1: averge: unknown; f1 takes average$/)
    }),
  )
})

describe("Filter", () => {
  const apply = (steps: ReadonlyArray<{ readonly function: string }>, texts: ReadonlyArray<string>) =>
    Effect.map(Filter.make("t.yaml", { name: "own", filter: steps }), (filter) => filter.apply(texts))

  it.effect("picks the asked match, the first group with text, or the fallback", () =>
    Effect.gen(function* () {
      const last = { function: "regex", regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)", group_select: -1 }
      assert.deepStrictEqual(yield* apply([last], ["a 12 b 7 "]), ["7"])
      assert.deepStrictEqual(yield* apply([last], ["none"]), ["[invalid]"])
    }),
  )

  it.effect("votes, takes, maps and folds", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* apply([{ function: "majority_vote" }], ["a", "b", "b"]), ["b"])
      const map = { function: "map", mapping_dict: { a: "1" }, default_value: "0" }
      assert.deepStrictEqual(yield* apply([{ function: "lowercase" }, map], ["A", "B"]), ["1", "0"])
      const two = [{ function: "take_first_k", k: 2 }, { function: "remove_whitespace" }]
      // The case remove-whitespace: both ends, of Python's white space.
      assert.deepStrictEqual(yield* apply(two, [" a ", " b\u0085", "c"]), ["a", "b"])
    }),
  )

  it.effect("finds the choice that a text names: by the expression, by its text, by its letter", () =>
    Effect.gen(function* () {
      const steps = {
        function: "multi_choice_regex",
        regex_pattern: "answer is (\\([A-Z]\\))",
        ignore_case: true,
        ignore_punctuation: true,
        regexes_to_ignore: ["\\$"],
      }
      const filter = yield* Filter.make("t.yaml", { name: "own", filter: [steps] })
      assert.deepStrictEqual(filter.needs, ["choices"])
      const row = { choices: ["A red fox.", "$12 (net)", "Nothing"] }
      const texts = [
        "So the answer is (C), not (A)",
        "It was a RED fox, I think",
        "About 12 net of taxes",
        "I choose: B because",
        "who knows",
      ]
      assert.deepStrictEqual(filter.apply(texts, row), ["(C)", "(A)", "(B)", "(B)", "[invalid]"])
      const wrong = yield* Effect.flip(apply([{ function: "multi_choice_regex" }], []))
      assert.match(wrong.message, /filter_list\.own: multi_choice_regex needs a regex_pattern$/)
    }),
  )

  it.effect("names the filters there are when asked for another", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(apply([{ function: "custom" }], []))
      assert.match(error.message, /^t\.yaml: filter_list\.own: there is no filter custom; there are regex/)
    }),
  )
})
