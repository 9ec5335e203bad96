/**
 * Metrics: what a document's responses are worth, by the names and conventions of the reference harness.
 *
 * Ties between choices go to the first. `acc_norm` divides by characters (code points) without the delimiter,
 * `acc_bytes` by UTF-8 bytes. A metric is made once per task; `measure` gives its value for one document.
 */
import { at } from "@hila/core/Lookup"
import { Statistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as FunctionalCorrectness from "../code/FunctionalCorrectness.ts"
import * as PassAtK from "../code/PassAtK.ts"
import * as Programs from "../code/Programs.ts"
import { TaskError } from "../EvalError.ts"
import { FunctionName, type MetricEntry, type OutputType, truthOf } from "../tasks/TaskConfig.ts"
import * as Aggregation from "./Aggregation.ts"
import * as ExactMatch from "./ExactMatch.ts"
import * as NumericMatch from "./NumericMatch.ts"
import * as PythonText from "./PythonText.ts"

/** A document with the responses to it. */
export type Answered =
  | {
      readonly _tag: "Choices"
      readonly choices: ReadonlyArray<string>
      /** Log-likelihood of each choice, in nats. */
      readonly logLikelihoods: ReadonlyArray<number>
      readonly greedy: ReadonlyArray<boolean>
      /** Log-likelihoods without the context, where a metric needs them. */
      readonly unconditional: ReadonlyArray<number>
      /** Indices of the right choices, at least one. */
      readonly golds: ReadonlyArray<number>
    }
  | { readonly _tag: "LogLikelihood"; readonly logLikelihood: number; readonly greedy: boolean }
  | { readonly _tag: "Rolling"; readonly logLikelihood: number; readonly text: string }
  | {
      readonly _tag: "Texts"
      /** What a filter left: one text, unless the task looks at several samples. */
      readonly texts: ReadonlyArray<string>
      readonly references: ReadonlyArray<string>
      /** Whether the target is a list, of which any is right. */
      readonly several: boolean
    }
  /** Programs that were run with their tests, one for each sample: whether they passed. */
  | { readonly _tag: "Programs"; readonly passed: ReadonlyArray<boolean> }

export interface Metric {
  readonly name: string
  readonly aggregation: Aggregation.Aggregation
  readonly higherIsBetter: boolean
  readonly measure: (answered: Answered) => Aggregation.Value
}

type Choices = Extract<Answered, { readonly _tag: "Choices" }>
type Measure = (answered: Answered) => Aggregation.Value

interface Definition {
  readonly outputs: ReadonlyArray<OutputType>
  readonly aggregation: string
  readonly higherIsBetter: boolean
  readonly measure: (given: Readonly<Record<string, unknown>>) => Result.Result<Measure, string>
  /** Whether `measure` reads what it is given; else there may be nothing. */
  readonly takesArguments?: true
}

/** Index of the largest value, the first of equals. */
const argMax = (values: ReadonlyArray<number>): number => values.indexOf(Math.max(...values))

const ofChoices = (measure: (answered: Choices) => Aggregation.Value) => () =>
  Result.succeed<Measure>((answered) => (answered._tag === "Choices" ? measure(answered) : Number.NaN))

const right = (golds: ReadonlyArray<number>, scores: ReadonlyArray<number>) =>
  Number(golds.includes(argMax(scores)))

const softmax = (values: ReadonlyArray<number>): ReadonlyArray<number> => {
  const top = Math.max(...values)
  const powers = values.map((value) => Math.exp(value - top))
  const sum = powers.reduce((a, b) => a + b, 0)
  return powers.map((power) => power / sum)
}

const goldAndPrediction = ofChoices(({ golds, logLikelihoods }) => [at(golds, 0), argMax(logLikelihoods)])

const averages: ReadonlyArray<unknown> = [null, "binary", "micro", "macro", "weighted"]

const acc = (answered: Answered): number => {
  if (answered._tag === "Choices") return right(answered.golds, answered.logLikelihoods)
  return answered._tag === "LogLikelihood" ? Number(answered.greedy) : Number.NaN
}

const normalised = (length: (text: string) => number) =>
  ofChoices(({ choices, golds, logLikelihoods }) =>
    right(
      golds,
      logLikelihoods.map((sum, i) => sum / length(at(choices, i))),
    ),
  )

/** A rolling log-likelihood and what it is divided by. */
const rolling = (weight: (text: string) => number) => () =>
  Result.succeed<Measure>((answered) =>
    answered._tag === "Rolling" ? [answered.logLikelihood, weight(answered.text)] : Number.NaN,
  )

const compared =
  (make: typeof ExactMatch.make): Definition["measure"] =>
  (given) =>
    Result.map(make(given), (compare): Measure => (answered) => {
      if (answered._tag === "Texts") {
        const { references, several, texts } = answered
        // Without a reference no text is right.
        const each = texts.map((text) =>
          Math.max(0, ...references.map((reference) => compare(text, reference))),
        )
        return several ? Math.max(0, ...each) : Statistics.mean(each)
      }
      return answered._tag === "Choices"
        ? Number(answered.golds.some((gold) => answered.greedy[gold] === true))
        : Number.NaN
    })

const choice: ReadonlyArray<OutputType> = ["multiple_choice"]
const rolled: ReadonlyArray<OutputType> = ["loglikelihood_rolling"]

const better = (
  outputs: ReadonlyArray<OutputType>,
  measure: Definition["measure"],
  aggregation = "mean",
): Definition => ({ outputs, aggregation, higherIsBetter: true, measure })
const worse = (
  outputs: ReadonlyArray<OutputType>,
  measure: Definition["measure"],
  aggregation: string,
): Definition => ({ outputs, aggregation, higherIsBetter: false, measure })

const taking = (definition: Definition): Definition => ({ ...definition, takesArguments: true })

const definitions: Readonly<Record<string, Definition>> = {
  acc: better(["multiple_choice", "loglikelihood"], () => Result.succeed(acc)),
  acc_norm: better(choice, normalised(PythonText.length)),
  acc_bytes: better(choice, normalised(PythonText.bytes)),
  acc_mutual_info: better(
    choice,
    ofChoices(({ golds, logLikelihoods, unconditional }) =>
      right(
        golds,
        logLikelihoods.map((sum, i) => sum - at(unconditional, i)),
      ),
    ),
  ),
  // The harness reads an average, and sums up over class 1 whatever it says.
  f1: taking(
    better(
      choice,
      ({ average = null, ...rest }) => {
        const [unknown] = Object.keys(rest)
        if (unknown !== undefined) return Result.fail(`${unknown}: unknown; f1 takes average`)
        return averages.includes(average)
          ? goldAndPrediction()
          : Result.fail(`average: expected ${averages.slice(1).join(", ")}, got ${JSON.stringify(average)}`)
      },
      "f1",
    ),
  ),
  mcc: better(choice, goldAndPrediction, "matthews_corrcoef"),
  brier_score: worse(
    choice,
    ofChoices(({ golds, logLikelihoods }) => [at(golds, 0), softmax(logLikelihoods)]),
    "brier_score",
  ),
  exact_match: taking(better(["generate_until", "multiple_choice"], compared(ExactMatch.make))),
  numeric_match: taking(better(["generate_until"], compared(NumericMatch.make))),
  perplexity: worse(
    ["loglikelihood"],
    () =>
      Result.succeed((answered) => (answered._tag === "LogLikelihood" ? answered.logLikelihood : Number.NaN)),
    "perplexity",
  ),
  word_perplexity: worse(
    rolled,
    rolling((text) => PythonText.words(text).length),
    "weighted_perplexity",
  ),
  byte_perplexity: worse(rolled, rolling(PythonText.bytes), "weighted_perplexity"),
  bits_per_byte: worse(rolled, rolling(PythonText.bytes), "bits_per_byte"),
}

/** pass@k of the samples of a document. */
const passAt = (k: number): Definition =>
  taking(
    better(["generate_until"], (given) =>
      Result.map(
        Programs.make(given),
        (): Measure => (answered) =>
          answered._tag === "Programs" ? FunctionalCorrectness.passAtK(answered.passed, k) : Number.NaN,
      ),
    ),
  )

const definitionOf = (name: string): Definition | undefined => {
  const k = PassAtK.kOf(name)
  if (k !== undefined) return passAt(k)
  return Object.hasOwn(definitions, name) ? definitions[name] : undefined
}

/** How a metric is summed up over documents, unless its task says otherwise. */
export const aggregationOf = (name: string): Aggregation.Aggregation =>
  Aggregation.named(definitionOf(name)?.aggregation ?? "mean") ?? Aggregation.mean

/**
 * A metric from its entry in a task's file. With `ownResults` the task computes its values itself, so that any name
 * will do and `measure` is not asked.
 */
export const make = Effect.fnUntraced(function* (
  file: string,
  outputType: OutputType,
  entry: MetricEntry,
  ownResults: boolean,
): Effect.fn.Return<Metric, TaskError> {
  // Whether sizes weigh is a group's to say; in a task's list the harness passes it over.
  const {
    aggregation: askedAggregation,
    higher_is_better: higher,
    metric: name,
    weight_by_size: _,
    ...rest
  } = entry
  const { hf_evaluate: hub = false, ...given } = rest
  const fail = (problem: string, key = "metric_list") => new TaskError({ file, key, problem })
  for (const part of [name, askedAggregation]) {
    if (part instanceof FunctionName) {
      return yield* fail(`!function ${part.function} is a Python function, which Hila does not run`)
    }
  }
  if (truthOf(hub) !== false) {
    return yield* fail("hf_evaluate: metrics of the library evaluate are Python, which Hila does not run")
  }
  if (typeof name !== "string" || (askedAggregation !== undefined && typeof askedAggregation !== "string")) {
    return yield* fail("expected names of metrics and aggregations")
  }
  const definition = definitionOf(name)
  if (!ownResults && definition?.outputs.includes(outputType) !== true) {
    const fitting = Object.keys(definitions).filter((known) =>
      definitions[known]?.outputs.includes(outputType),
    )
    return yield* fail(
      `there is no ${name} for ${outputType}; there are ${[...fitting, ...(outputType === "generate_until" ? ["pass@k"] : [])].join(", ")}`,
    )
  }
  const aggregationName = askedAggregation ?? definition?.aggregation ?? "mean"
  const aggregation = Aggregation.named(aggregationName)
  if (aggregation === undefined) {
    return yield* fail(
      `there is no aggregation ${aggregationName}; there are ${Object.keys(Aggregation.table).join(", ")}`,
    )
  }
  const [extra] = Object.keys(given)
  // The others look at their own arguments.
  if (extra !== undefined && !ownResults && definition?.takesArguments !== true) {
    return yield* fail(`${extra}: unknown; ${name} takes no arguments`, `metric_list.${name}`)
  }
  const measure = ownResults
    ? Result.succeed<Measure>(() => Number.NaN)
    : (definition?.measure(given) ?? Result.fail("has no measure"))
  return {
    name,
    aggregation,
    higherIsBetter:
      (higher === undefined ? undefined : truthOf(higher)) ?? definition?.higherIsBetter ?? true,
    measure: yield* Effect.mapError(Effect.fromResult(measure), (problem) =>
      fail(problem, `metric_list.${name}`),
    ),
  }
})
