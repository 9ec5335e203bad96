/**
 * Run logs: what earlier runs did, read back from their events; and how two of them differ.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Action } from "./Action.ts"
import type { StoreError } from "./CoreError.ts"
import { entryOr } from "./Lookup.ts"
import * as Reason from "./Reason.ts"
import { Store } from "./Store.ts"

/** The fields of events that a log is read for; a log may hold events of a later Hila, which say nothing here. */
const Line = Schema.fromJsonString(
  Schema.Struct({
    _tag: Schema.String,
    pipeline: Schema.optionalKey(Schema.String),
    set: Schema.optionalKey(Schema.Record(Schema.String, Schema.String)),
    file: Schema.optionalKey(Schema.String),
    node: Schema.optionalKey(Schema.String),
    output: Schema.optionalKey(Schema.String),
    outputs: Schema.optionalKey(Schema.Array(Schema.String)),
    artifact: Schema.optionalKey(Schema.String),
    digest: Schema.optionalKey(Schema.String),
    key: Schema.optionalKey(Schema.String),
    message: Schema.optionalKey(Schema.String),
    seconds: Schema.optionalKey(Schema.Finite),
    hits: Schema.optionalKey(Schema.Int),
    runs: Schema.optionalKey(Schema.Int),
  }),
)
const decode = Schema.decodeUnknownOption(Line)

/** One run as its log tells it. */
export interface RunLog {
  readonly run: string
  readonly pipeline: string
  readonly set: Readonly<Record<string, string>>
  /** The module of the pipeline, where the run was told. */
  readonly file?: string
  readonly outcome: "finished" | "failed" | "stopped"
  /** Of a failed run: what failed, and why. */
  readonly problem?: string
  readonly seconds?: number
  readonly hits: number
  readonly runs: number
  /** Stages that hit or were published. */
  readonly nodes: ReadonlyArray<{ readonly node: string; readonly key: string; readonly hit: boolean }>
  /** What it started from, each once. */
  readonly sources: ReadonlyArray<{
    readonly node: string
    readonly artifact: string
    readonly digest: string
  }>
  /** The outputs that it came to, in the order they were asked for, with the keys of their records; a source has none. */
  readonly outputs: ReadonlyArray<{ readonly output: string; readonly node: string; readonly key?: string }>
}

/** The log of one run. */
export const read = Effect.fnUntraced(function* (run: string): Effect.fn.Return<RunLog, StoreError, Store> {
  const store = yield* Store
  const lines = (yield* store.events(run)).flatMap((line) => {
    const event = decode(line)
    return Option.isSome(event) ? [event.value] : []
  })
  const planned = lines.find(({ _tag }) => _tag === "Planned")
  const finished = lines.find(({ _tag }) => _tag === "Finished")
  const failed = lines.find(({ _tag }) => _tag === "Failed")
  const asked = planned?.outputs ?? []
  const count = (tag: string) => lines.filter(({ _tag }) => _tag === tag).length
  return {
    run,
    pipeline: planned?.pipeline ?? "",
    set: planned?.set ?? {},
    ...(planned?.file === undefined ? {} : { file: planned.file }),
    outcome: finished !== undefined ? "finished" : failed !== undefined ? "failed" : "stopped",
    ...(failed === undefined ? {} : { problem: `${failed.node}: ${failed.message}` }),
    ...(finished?.seconds === undefined ? {} : { seconds: finished.seconds }),
    hits: count("Hit"),
    runs: count("Published"),
    nodes: lines.flatMap(({ _tag, key, node }) =>
      (_tag === "Hit" || _tag === "Published") && node !== undefined && key !== undefined
        ? [{ node, key, hit: _tag === "Hit" }]
        : [],
    ),
    sources: lines.flatMap(({ _tag, artifact, digest, node }) =>
      _tag === "Source" && node !== undefined && artifact !== undefined && digest !== undefined
        ? [{ node, artifact, digest }]
        : [],
    ),
    outputs: lines
      .flatMap(({ _tag, key, node, output }) =>
        _tag === "Output" && node !== undefined && output !== undefined
          ? [{ output, node, ...(key === undefined ? {} : { key }) }]
          : [],
      )
      .toSorted((a, b) => asked.indexOf(a.output) - asked.indexOf(b.output)),
  }
})

/** All runs, oldest first. */
export const all: Effect.Effect<ReadonlyArray<RunLog>, StoreError, Store> = Effect.flatMap(Store, (store) =>
  Effect.flatMap(store.runs, (runs) => Effect.forEach(runs, read)),
)

/** One stage in two runs. */
export interface Difference {
  readonly node: string
  /** Its record in either run; undefined where it did not take part, or its record is gone. */
  readonly before: Action | undefined
  readonly after: Action | undefined
  /** Ingredients that differ. */
  readonly reasons: ReadonlyArray<Reason.Reason>
}

/** Keys by title, in the order of the run: calls of a stage may share one. */
const keysOf = ({ nodes }: RunLog): ReadonlyMap<string, ReadonlyArray<string>> => {
  const found = new Map<string, Array<string>>()
  for (const { key, node } of nodes) {
    const keys = found.get(node)
    if (keys === undefined) found.set(node, [key])
    else if (!keys.includes(key)) keys.push(key)
  }
  return found
}

/** Stages whose ingredients or content differ between two runs, in the order of the second. */
export const diff = Effect.fnUntraced(function* (
  a: RunLog,
  b: RunLog,
): Effect.fn.Return<ReadonlyArray<Difference>, StoreError, Store> {
  const store = yield* Store
  const records = new Map((yield* store.actions).map((action) => [action.key, action]))
  const [before, after] = [keysOf(a), keysOf(b)]
  const titles = [...after.keys(), ...[...before.keys()].filter((node) => !after.has(node))]
  return titles.flatMap((node) => {
    const [first, second] = [entryOr(before, node, []), entryOr(after, node, [])]
    const old = first.filter((key) => !second.includes(key))
    const now = second.filter((key) => !first.includes(key)).map((key) => records.get(key))
    const changes = now.map((is): Difference => {
      // Of several calls under one title, those that differ least belong together.
      const left = old.flatMap((key) => entryOr(records, key, []))
      const key = (is === undefined ? undefined : Reason.nearest(is.ingredients, left)?.key) ?? old[0]
      const was = key === undefined ? undefined : records.get(key)
      if (key !== undefined) old.splice(old.indexOf(key), 1)
      const reasons =
        was === undefined || is === undefined ? [] : Reason.between(is.ingredients, was.ingredients)
      return { node, before: was, after: is, reasons }
    })
    const gone = old.map((key): Difference => ({
      node,
      before: records.get(key),
      after: undefined,
      reasons: [],
    }))
    return [...changes, ...gone]
  })
})
