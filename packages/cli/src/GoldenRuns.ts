/** What `hila golden` does. */
import { Stages as Evaluation } from "@hila/eval"
import * as Sandbox from "@hila/eval/code/Sandbox"
import { Hub, Runtime } from "@hila/model"
import { Golden, Prompts, Stages, Verifier } from "@hila/scoring"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { basename, extname } from "node:path"
import { UsageError } from "./CliError.ts"
import * as OutputFile from "./OutputFile.ts"
import * as SmallRun from "./SmallRun.ts"
import * as Stores from "./Stores.ts"

/** A rule as `--verify` has it, `regex:^\d+$`. */
const ruleOf = Effect.fnUntraced(function* (text: string) {
  const [, by, value] = /^(\w+)(?::([\s\S]*))?$/.exec(text) ?? []
  const name = by === "regex" ? "pattern" : by === "answer" ? "extract" : (by ?? "")
  const spec = { by, ...(value === undefined ? {} : { [name]: value }) }
  return yield* Effect.mapError(
    Schema.decodeUnknownEffect(Verifier.Spec)(spec),
    () =>
      new UsageError({
        problem: `--verify ${text}: expected answer or answer:<pattern>, regex:<pattern>, script:<name> as in script:Han, or language:<code> as in language:de`,
      }),
  )
})

const given = <K extends string, A>(name: K, value: Option.Option<A>) =>
  Option.match(value, { onNone: () => ({}), onSome: (a) => ({ [name]: a }) as { readonly [P in K]: A } })

interface Arguments {
  readonly expert: string
  readonly prompts: string
  readonly prompt: string
  readonly answer: Option.Option<string>
  readonly take: Option.Option<number>
  readonly chat: boolean
  readonly maxTokens: number
  readonly stop: ReadonlyArray<string>
  readonly temperature: Option.Option<number>
  readonly topK: Option.Option<number>
  readonly topP: Option.Option<number>
  readonly seed: number
  readonly keep: Option.Option<number>
  readonly unended: boolean
  readonly verify: Option.Option<string>
  readonly tests: Option.Option<"python" | "javascript">
  readonly shape: "response" | "continuation" | "block"
  readonly seconds: Option.Option<number>
  readonly allowCode: boolean
  readonly output: string
  readonly store: string
  readonly json: boolean
}

/** What cannot be done is refused before the expert is asked anything. */
const check = Effect.fnUntraced(function* ({ allowCode, answer, tests, verify }: Arguments) {
  const refuse = (problem: string) => new UsageError({ problem })
  const byKey = Option.exists(verify, (rule) => /^answer(?::|$)/.test(rule))
  if (Option.isNone(answer) && (byKey || Option.isSome(tests))) {
    return yield* refuse(
      `${byKey ? "--verify answer" : "--tests"} needs --answer: the column that has the ${byKey ? "keys" : "tests"}`,
    )
  }
  if (Option.isNone(tests)) return
  if (!allowCode) {
    return yield* refuse(
      "--tests runs programs the expert writes; allow it with --allow-code, and they run in a sandbox",
    )
  }
  yield* Sandbox.make
})

/** The examples to be. */
const nodeOf = (of: Arguments, verify: Option.Option<Verifier.Spec>) => {
  const { allowCode, chat, maxTokens, prompt, seed, shape, stop } = of
  const name = basename(of.prompts)
  const asked = Stages.prompts(
    { file: Prompts.source(of.prompts) },
    { name, domain: basename(name, extname(name)), prompt, ...given("answer", of.answer) },
  )
  const questions = Option.match(of.take, {
    onNone: () => asked,
    onSome: (golden) =>
      Stages.split({ questions: [asked] }, { sizes: { golden }, part: "golden", seed }, "golden"),
  })
  const teacher = Hub.source(of.expert)
  const asking = {
    maxTokens,
    ...(stop.length === 0 ? {} : { stop }),
    ...(chat ? { chat } : {}),
    ...given("temperature", of.temperature),
    ...given("topK", of.topK),
    ...given("topP", of.topP),
    ...(Option.isSome(of.temperature) ? { seed } : {}),
  }
  const choice = {
    ...given("keep", of.keep),
    ...(of.unended ? { requireEnd: false } : {}),
    ...given("verify", verify),
  }
  if (Option.isNone(of.tests)) return Stages.golden({ teacher, questions }, { ...asking, ...choice })
  const answers = Stages.answers({ teacher, questions }, asking)
  const verdicts = Evaluation.unitTests(
    { answers, questions },
    {
      language: of.tests.value,
      shape,
      allowCode,
      ...(stop.length === 0 ? {} : { stop }),
      ...given("seconds", of.seconds),
    },
  )
  return Stages.selected({ answers, questions, verdicts: [verdicts] }, choice)
}

/** `hila golden`: a small pipeline, so that answers are kept and a stopped run goes on. */
export const golden = Effect.fnUntraced(function* (of: Arguments) {
  yield* check(of)
  const verify = Option.isNone(of.verify)
    ? Option.none<Verifier.Spec>()
    : Option.some(yield* ruleOf(of.verify.value))
  const { golden: made } = yield* Effect.provide(
    SmallRun.outputs({ golden: nodeOf(of, verify) }, { pipeline: "golden", json: of.json }),
    Layer.mergeAll(Runtime.layer, Stores.layer(of)),
  )
  yield* OutputFile.write(of.output, made.map((line) => `${JSON.stringify(line)}\n`).join(""))
  yield* Console.log(
    of.json
      ? JSON.stringify({ output: of.output, ...made.report })
      : `${of.output}: ${Golden.artifact.summary(made)}`,
  )
})
