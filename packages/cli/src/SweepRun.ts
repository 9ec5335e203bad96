/** Sweeps: a pipeline under every combination of some options, run as one graph, and its metrics side by side. */
import { type Event, Events, Node, Pipeline, Plan, Run } from "@hila/core"
import { atOr, entryOr } from "@hila/core/Lookup"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { optionsOf } from "./Arguments.ts"
import { StageError, UsageError } from "./CliError.ts"
import * as Display from "./Display.ts"
import * as PipelineFile from "./PipelineFile.ts"
import * as Stores from "./Stores.ts"
import { figure, table } from "./Tables.ts"

/** Every combination of the values, the last option varying fastest. */
const combinations = (over: ReadonlyArray<readonly [string, ReadonlyArray<string>]>) =>
  over.reduce<ReadonlyArray<Readonly<Record<string, string>>>>(
    (made, [name, values]) => made.flatMap((each) => values.map((value) => ({ ...each, [name]: value }))),
    [{}],
  )

/** `name=a,b,c` as a name and values. */
const axis = Effect.fnUntraced(function* (text: string) {
  const at = text.indexOf("=")
  const values = text.slice(at + 1).split(",")
  if (at < 1 || values.includes(""))
    return yield* new UsageError({ problem: `--over ${text}: expected name=a,b,c` })
  const twice = values.find((value, index) => values.indexOf(value) < index)
  if (twice !== undefined)
    return yield* new UsageError({ problem: `--over ${text}: ${twice} is there twice, name each value once` })
  return [text.slice(0, at), values] as const
})

/** Options that two arguments would set. */
const twice = (over: ReadonlyArray<readonly [string, unknown]>, fixed: Readonly<Record<string, string>>) => {
  const names = over.map(([name]) => name)
  const again = names.find((name, index) => names.indexOf(name) < index)
  if (again !== undefined) return `--over ${again}: given twice, name all its values in one: ${again}=a,b`
  const both = names.find((name) => Object.hasOwn(fixed, name))
  return both === undefined ? undefined : `--over ${both}: --set gives it one value, keep one of them`
}

export const sweep = Effect.fnUntraced(function* (given: {
  readonly pipeline: string
  readonly over: ReadonlyArray<string>
  readonly set: ReadonlyArray<string>
  readonly store: string
  readonly remote: Option.Option<string>
  readonly jobs: Option.Option<number>
  readonly json: boolean
}) {
  const fixed = yield* optionsOf(given.set)
  const over = yield* Effect.forEach(given.over, axis)
  const problem = twice(over, fixed)
  if (problem !== undefined) return yield* new UsageError({ problem })
  const loaded = yield* PipelineFile.load(given.pipeline)
  const variants = yield* Effect.forEach(combinations(over), (set) =>
    Effect.map(Pipeline.build(loaded, { ...fixed, ...set }), (outputs) => ({ set, outputs })),
  )
  const screen = given.json
    ? undefined
    : yield* Effect.acquireRelease(
        Effect.sync(() => Display.standard(false)),
        (opened) => Effect.sync(opened.close),
      )
  // One graph of all variants: equal calls have equal keys, and each key is computed once.
  const graph = Object.fromEntries(
    variants.flatMap(({ outputs, set }) =>
      Object.entries(outputs).map(
        ([name, node]) => [`${name} ${Object.values(set).join(" ")}`, node] as const,
      ),
    ),
  )
  const limit = Option.match(given.jobs, { onNone: () => ({}), onSome: (jobs) => ({ jobs }) })
  const found = yield* Effect.gen(function* () {
    const options = { pipeline: `${loaded.name} sweep`, set: fixed, refer: false, ...limit }
    const failed = new Map<string, string>()
    const emit = (event: Event) =>
      Effect.sync(() => {
        if (event._tag === "Failed") failed.set(event.message, event.node)
        screen?.emit(event)
      })
    yield* Run.outputs(graph, options).pipe(
      Effect.mapError((cause) => StageError.of(cause, failed)),
      Effect.provideService(Events, { emit }),
    )
    // Everything is a hit now, whose record holds its metrics.
    const hits = new Map(
      (yield* Plan.make(graph)).flatMap((step) =>
        step._tag === "Hit" ? [[step.node, step.action.metrics] as const] : [],
      ),
    )
    return variants.map(({ outputs, set }) => ({
      set,
      metrics: Object.fromEntries(
        Object.entries<Node.AnyNode>(outputs).flatMap(([name, node]) =>
          node.kind === "source"
            ? []
            : Object.entries(entryOr(hits, node, {})).map(
                ([metric, value]) => [`${name}.${metric}`, value] as const,
              ),
        ),
      ),
    }))
  }).pipe(Effect.provide(Layer.mergeAll(loaded.layer, Stores.layer(given))))
  if (screen !== undefined) yield* Effect.sync(screen.close)
  if (given.json) return yield* Console.log(JSON.stringify(found))
  const names = [...new Set(found.flatMap(({ metrics }) => Object.keys(metrics)))]
  const stages = variants.map(({ outputs }) => Node.stages(Object.values(outputs)).length)
  const rows = found.map(({ metrics, set }) => [
    ...Object.values(set),
    ...names.map((name) => (metrics[name] === undefined ? "" : figure(metrics[name]))),
  ])
  yield* Console.log(table([[...over.map(([name]) => name), ...names], ...rows]))
  const note = names.length === 0 ? "; no output has metrics (see `metrics` of Artifact)" : ""
  return yield* Console.log(`${found.length} variants of ${atOr(stages, 0, 0)} stages${note}`)
}, Effect.scoped)
