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
import { resolveSource } from "./internal/resolution.ts"
import * as Node from "./Node.ts"
import * as Reason from "./Reason.ts"
import { Store } from "./Store.ts"

/** What a run would do with one stage. */
export type Step =
  | { readonly _tag: "Hit"; readonly node: Node.AnyStageNode; readonly action: Action }
  | {
      readonly _tag: "Run"
      readonly node: Node.AnyStageNode
      readonly key: string
      readonly reasons: ReadonlyArray<Reason.Reason>
    }
  | { readonly _tag: "Wait"; readonly node: Node.AnyStageNode; readonly on: ReadonlyArray<Node.AnyStageNode> }

/** The steps of a run, inputs before the stages that take them. */
export type Plan = ReadonlyArray<Step>

/** Why a key misses: the nearest earlier record tells, or its own record without content. */
export const reasonsFor = (
  ingredients: Ingredients.Ingredients,
): Effect.Effect<ReadonlyArray<Reason.Reason>, StoreError, Store> =>
  Effect.gen(function* () {
    const store = yield* Store
    const history = yield* store.history(ingredients.stage)
    const own = history.find((action) => action.key === Ingredients.key(ingredients))
    return own === undefined
      ? Reason.explain(ingredients, history)
      : [{ _tag: "OutputMissing" as const, digest: own.digest }]
  })

/** The plan for some outputs. Sources are read (or found unchanged); no stage runs. */
export const make = Effect.fn("Plan.make")(function* (
  outputs: Readonly<Record<string, Node.AnyNode>>,
): Effect.fn.Return<Plan, StoreError | SourceError | ArtifactError, Store> {
  const store = yield* Store
  const digests = new Map<Node.AnyNode, string>()
  const steps: Array<Step> = []
  for (const node of Node.order(Object.values(outputs))) {
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
    const ingredients = Ingredients.of(node, (input) => digests.get(input) ?? "")
    const key = Ingredients.key(ingredients)
    const action = yield* store.lookup(ingredients.stage, key)
    if (Option.isSome(action)) {
      digests.set(node, action.value.digest)
      steps.push({ _tag: "Hit", node, action: action.value })
    } else {
      steps.push({ _tag: "Run", node, key, reasons: yield* reasonsFor(ingredients) })
    }
  }
  return steps
})

const detail = (step: Step): readonly [word: string, text: string] => {
  switch (step._tag) {
    case "Hit":
      return ["hit", step.action.summary]
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
  return [...lines, `${count("Run")} to run, ${count("Wait")} may follow, ${count("Hit")} kept`].join("\n")
}

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
        }
      case "Run":
        return { node, step: "run", key: step.key, reasons: step.reasons }
      case "Wait":
        return { node, step: "waits", on: step.on.map(Node.title) }
    }
  })
