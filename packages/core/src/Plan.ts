/**
 * Plans: what a run would do, without doing any of it.
 *
 * A stage is a hit, has to run (with the reason, old value → new value), or waits: whether it has to run depends on
 * the bytes that a stage before it will produce. Two values would be a lie about the third.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Action } from "./Action.ts"
import type { ArtifactError, SourceError, StoreError } from "./CoreError.ts"
import * as Ingredients from "./Ingredients.ts"
import { entry } from "./Lookup.ts"
import { environmentOf } from "./internal/environment.ts"
import { promise } from "./internal/erased.ts"
import * as Miss from "./internal/miss.ts"
import { resolveSource } from "./internal/resolution.ts"
import * as Node from "./Node.ts"
import * as Reason from "./Reason.ts"
import * as SourceCode from "./SourceCode.ts"
import { Store } from "./Store.ts"

/** What a run would do with one stage. */
export type Step =
  | {
      readonly _tag: "Hit"
      readonly node: Node.AnyStageNode
      readonly action: Action
      /** Where its code differs from the code that made the record. */
      readonly differs?: ReadonlyArray<string>
    }
  | {
      readonly _tag: "Run"
      readonly node: Node.AnyStageNode
      readonly key: string
      readonly reasons: ReadonlyArray<Reason.Reason>
      /** Seconds that its nearest earlier run took. */
      readonly expected?: number
    }
  | { readonly _tag: "Wait"; readonly node: Node.AnyStageNode; readonly on: ReadonlyArray<Node.AnyStageNode> }

/** The steps of a run, inputs before the stages that take them. */
export type Plan = ReadonlyArray<Step>

/**
 * The plan for some outputs. Sources are read (or found unchanged); no stage runs.
 *
 * Needs the services that stages declare as their environment: their identities are in the keys.
 */
export const make = <const Outputs extends Readonly<Record<string, Node.Like>>>(
  outputs: Outputs,
  options: { readonly strict?: boolean } = {},
): Effect.Effect<
  Plan,
  StoreError | SourceError | ArtifactError,
  Store | Node.EnvironmentOf<Outputs[keyof Outputs]>
> => {
  const targets = promise<Readonly<Record<string, Node.AnyNode>>>(outputs)
  return Effect.withSpan(planOf(Object.values(targets), options.strict ?? false), "Plan.make")
}

const planOf = Effect.fnUntraced(function* (
  targets: ReadonlyArray<Node.AnyNode>,
  strict: boolean,
): Effect.fn.Return<Plan, StoreError | SourceError | ArtifactError, Store> {
  const store = yield* Store
  const codeOf = SourceCode.reader()
  const differenceOf = SourceCode.comparer()
  const digests = new Map<Node.AnyNode, string>()
  const steps: Array<Step> = []
  for (const node of Node.order(targets)) {
    if (node.kind === "source") {
      digests.set(node, (yield* resolveSource(node)).digest)
      continue
    }
    const on = [...new Set(Node.inputsOf(node))].filter(
      (input): input is Node.AnyStageNode => input.kind === "stage" && !digests.has(input),
    )
    if (on.length > 0) {
      steps.push({ _tag: "Wait", node, on })
      continue
    }
    const digestOf = (input: Node.AnyNode) => entry(digests, input)
    const ingredients = Ingredients.of(node, digestOf, yield* environmentOf(node))
    const key = Ingredients.key(ingredients)
    const action = yield* store.lookup(ingredients.stage, key)
    if (Option.isNone(action)) {
      const { expected, reasons } = yield* Miss.explain(ingredients)
      steps.push({ _tag: "Run", node, key, reasons, ...(expected === undefined ? {} : { expected }) })
      continue
    }
    const { seconds, source } = action.value
    const code = source === undefined ? undefined : yield* codeOf(node)
    const differs =
      source === undefined || code === undefined || code.digest === source
        ? undefined
        : yield* differenceOf(code, source)
    if (differs !== undefined && strict) {
      const reasons = [{ _tag: "SourceDiffers", files: differs } as const]
      steps.push({ _tag: "Run", node, key, reasons, expected: seconds })
      continue
    }
    digests.set(node, action.value.digest)
    const note = differs === undefined ? {} : { differs }
    steps.push({ _tag: "Hit", node, action: action.value, ...note })
  }
  return steps
})

const detail = (step: Step): readonly [word: string, text: string] => {
  switch (step._tag) {
    case "Hit":
      return [step.differs === undefined ? "hit" : "hit*", step.action.summary]
    case "Run":
      return ["run", step.reasons.map(Reason.render).join(", ")]
    case "Wait":
      return ["waits", `on ${step.on.map(Node.title).join(", ")}`]
  }
}

/** A plan as a table for people, with a line of totals. */
export const render = (plan: Plan): string => {
  const width = Math.max(0, ...plan.map(({ node }) => Node.title(node).length))
  const lines = plan.map((step) => {
    const [word, text] = detail(step)
    return `  ${Node.title(step.node).padEnd(width)}  ${word.padEnd(5)}  ${text}`.trimEnd()
  })
  const count = (tag: Step["_tag"]) => plan.filter((step) => step._tag === tag).length
  const expected = plan.reduce((sum, step) => sum + (step._tag === "Run" ? (step.expected ?? 0) : 0), 0)
  const before = expected === 0 ? "" : `, last time ${duration(expected)}`
  const other = plan.filter((step) => step._tag === "Hit" && step.differs !== undefined).length
  return [
    ...lines,
    `${count("Run")} to run, ${count("Wait")} may follow, ${count("Hit")} kept${before}`,
    ...(other === 0
      ? []
      : [
          `hit*: ${other} made by code that has changed since; explain names the files, --strict runs, accept keeps`,
        ]),
  ].join("\n")
}

/** Seconds for people: `4.2 s`, `6 min`, `3 h`. */
const duration = (seconds: number): string =>
  seconds < 60
    ? `${seconds.toFixed(1)} s`
    : seconds < 3600
      ? `${Math.round(seconds / 60)} min`
      : `${(seconds / 3600).toFixed(1)} h`

/** A plan as JSON values: title, step, and reasons, summary or what it waits for. */
export const toJson = (plan: Plan): ReadonlyArray<object> =>
  plan.map((step) => {
    const node = Node.title(step.node)
    switch (step._tag) {
      case "Hit":
        return {
          node,
          step: "hit",
          key: step.action.key,
          digest: step.action.digest,
          summary: step.action.summary,
          ...(step.differs === undefined ? {} : { differs: step.differs }),
        }
      case "Run":
        return { node, step: "run", key: step.key, reasons: step.reasons }
      case "Wait":
        return { node, step: "waits", on: step.on.map(Node.title) }
    }
  })
