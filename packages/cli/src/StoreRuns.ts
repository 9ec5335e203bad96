/** What the commands of `StoreCommands` do. */
import {
  Checkout,
  Digest,
  Explain,
  Gc,
  Lineage,
  Node,
  Reason,
  RunLog,
  SourceCode,
  Store,
  Verify,
} from "@hila/core"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { stat } from "node:fs/promises"
import { resolve } from "node:path"
import { noStage, planOf } from "./Arguments.ts"
import * as CheckoutCard from "./CheckoutCard.ts"
import { DamageError, UsageError } from "./CliError.ts"
import * as Progress from "./Progress.ts"
import * as Stores from "./Stores.ts"
import { bytes, duration, figure, table } from "./Tables.ts"

export { sweep } from "./SweepRun.ts"

interface Given {
  readonly store: string
}
interface Printed extends Given {
  readonly json: boolean
}

const options = (set: Readonly<Record<string, string>>): string =>
  Object.entries(set)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ")

const on =
  (given: Given) =>
  <A, E>(effect: Effect.Effect<A, E, Store>) =>
    Effect.provide(effect, Stores.layer(given))

export const runs = Effect.fnUntraced(function* (given: Printed) {
  const all = yield* on(given)(RunLog.all)
  if (given.json) return yield* Console.log(JSON.stringify(all))
  const rows = all.map(({ hits, outcome, pipeline, problem, run, runs: computed, seconds, set }) => [
    run,
    pipeline,
    outcome,
    seconds === undefined ? "" : duration(seconds),
    `${hits} hits, ${computed} runs`,
    problem ?? options(set),
  ])
  return yield* Console.log(rows.length === 0 ? "no run yet" : table(rows))
})

/** A run by its name, the beginning of it, `last` or `previous`. */
export const findRun = Effect.fnUntraced(function* (name: string) {
  const all = yield* RunLog.all
  const found =
    name === "last"
      ? all.at(-1)
      : name === "previous"
        ? all.at(-2)
        : (all.find(({ run }) => run === name) ?? all.findLast(({ run }) => run.startsWith(name)))
  if (found !== undefined) return found
  const known = all.length === 0 ? "no run yet" : "`hila runs` lists them"
  return yield* new UsageError({ problem: `there is no run "${name}": ${known}` })
})

const changed = (from: string, to: string): string => (from === to ? "" : `${from} → ${to}`)

export const diff = Effect.fnUntraced(
  function* (given: Printed & { readonly before: string; readonly after: string }) {
    const [before, after] = [yield* findRun(given.before), yield* findRun(given.after)]
    const found = yield* RunLog.diff(before, after)
    if (given.json) return yield* Console.log(JSON.stringify({ before, after, stages: found }))
    const lines = [`${before.run} → ${after.run}`]
    for (const { after: is, before: was, node, reasons } of found) {
      const digests =
        was === undefined
          ? "only in the second"
          : is === undefined
            ? "only in the first"
            : was.digest === is.digest
              ? "same content"
              : changed(Digest.short(was.digest), Digest.short(is.digest))
      lines.push(`  ${node}  ${digests}`)
      for (const reason of reasons) lines.push(`    ${Reason.render(reason)}`)
      if (was !== undefined && is !== undefined && was.summary !== is.summary)
        lines.push(`    ${changed(was.summary, is.summary)}`)
      const [old, now] = [was?.metrics ?? {}, is?.metrics ?? {}]
      for (const name of Object.keys(now)) {
        const [from, to] = [old[name], now[name]]
        if (from !== undefined && to !== undefined && from !== to)
          lines.push(`    ${name}: ${figure(from)} → ${figure(to)}`)
      }
    }
    if (found.length === 0) lines.push("  no stage differs")
    return yield* Console.log(lines.join("\n"))
  },
  (effect, given) => on(given)(effect),
)

/** An origin as a list, what was asked for first: what several stages share is there once. */
const flat = (origin: Lineage.Origin) => {
  const found = new Map<string, object>()
  const add = ({ action, digest, inputs, paths }: Lineage.Origin): void => {
    const id = `${digest} ${action?.key ?? ""}`
    if (found.has(id)) return
    found.set(id, {
      digest,
      ...(action === undefined ? { paths } : { action }),
      inputs: inputs.map((input) => ({ slot: input.slot, digest: input.origin.digest })),
    })
    for (const input of inputs) add(input.origin)
  }
  add(origin)
  return [...found.values()]
}

export const why = Effect.fnUntraced(
  function* (given: Printed & { readonly what: string }) {
    const path = resolve(given.what)
    const info = yield* Effect.promise(() => stat(path).catch(() => undefined))
    if (info?.isDirectory() === true)
      return yield* new UsageError({ problem: `${given.what} is a directory: name a file in it` })
    const digest = info === undefined ? given.what.toLowerCase() : yield* Digest.ofFile(path)
    if (!/^[0-9a-f]{4,64}$/.test(digest))
      return yield* new UsageError({ problem: `${given.what} is neither a file nor a digest` })
    const origin = yield* Lineage.of(digest)
    if (origin === undefined) {
      const problem = `${given.what} (${Digest.short(digest)}) was not produced by any run in ${given.store}`
      return yield* new UsageError({ problem })
    }
    return yield* Console.log(given.json ? JSON.stringify(flat(origin)) : Lineage.render(origin))
  },
  (effect, given) => on(given)(effect),
)

export const checkout = Effect.fnUntraced(
  function* (given: Printed & { readonly output: string; readonly to: string }) {
    const store = yield* Store
    const refs = yield* store.refs
    const name = (ref: { readonly pipeline: string; readonly output: string }) =>
      `${ref.pipeline}/${ref.output}`
    const found = refs.filter((ref) => name(ref) === given.output || ref.output === given.output)
    const [ref] = found
    if (ref === undefined || found.length > 1) {
      const known = refs.map(name).join(", ") || "none yet"
      const problem =
        ref === undefined
          ? `there is no output "${given.output}": ${given.store} has ${known}`
          : `"${given.output}" is an output of several pipelines: ${found.map(name).join(", ")}`
      return yield* new UsageError({ problem })
    }
    const action = (yield* store.history(ref.stage)).find(({ key }) => key === ref.key)
    const content = action === undefined ? Option.none() : yield* store.content(action.kind, ref.digest)
    if (Option.isNone(content))
      return yield* new UsageError({
        problem: `${name(ref)} is no longer in the store: run the pipeline again`,
      })
    const texts: Readonly<Record<string, string>> =
      action !== undefined && CheckoutCard.isCheckpoint(content.value)
        ? { "README.md": yield* CheckoutCard.of(ref.pipeline, ref.output, action, content.value) }
        : {}
    yield* Checkout.copy(content.value, resolve(given.to), texts)
    const { digest, size } = content.value
    return yield* Console.log(
      given.json
        ? JSON.stringify({ output: name(ref), path: given.to, digest, size })
        : `${given.to}: ${name(ref)}, ${bytes(size)}`,
    )
  },
  (effect, given) => on(given)(effect),
)

export const accept = Effect.fnUntraced(
  function* (
    given: Printed & {
      readonly pipeline: string
      readonly set: ReadonlyArray<string>
      readonly stage: ReadonlyArray<string>
    },
  ) {
    const made = yield* planOf({ ...given, strict: false })
    const name = given.stage.join(" ")
    const steps = name === "" ? made : Explain.find(made, name)
    if (steps.length === 0) return yield* noStage(made, name)
    const accepted: Array<{ readonly stage: string; readonly files: ReadonlyArray<string> }> = []
    for (const step of steps) {
      if (step._tag !== "Hit" || step.differs === undefined) continue
      yield* SourceCode.accept(step.node, step.action)
      accepted.push({ stage: Node.title(step.node), files: step.differs })
    }
    if (given.json) return yield* Console.log(JSON.stringify(accepted))
    for (const { files, stage } of accepted) yield* Console.log(`  ${stage}  ${files.join(", ")}`)
    return yield* Console.log(
      accepted.length === 0
        ? "no stage is hit*: nothing to accept"
        : `${accepted.length} accepted as made by the code of now`,
    )
  },
  (effect, given) => on(given)(effect),
)

export const gc = Effect.fnUntraced(
  function* (given: Printed & { readonly runs: number; readonly grace: number; readonly yes: boolean }) {
    const limits = { runs: given.runs, grace: given.grace * 60_000 }
    const garbage = yield* given.yes ? Gc.collect(limits) : Gc.find(limits)
    if (given.json) return yield* Console.log(JSON.stringify(garbage))
    const rows = garbage.actions.map(({ ingredients, label, seconds, size, started }) => [
      label === undefined ? ingredients.stage : `${ingredients.stage} ${label}`,
      started.slice(0, 16),
      bytes(size),
      duration(seconds),
      options(
        Object.fromEntries(Object.entries(ingredients.params).map(([k, v]) => [k, JSON.stringify(v)])),
      ).slice(0, 60),
    ])
    if (rows.length > 0) yield* Console.log(table([["stage", "made", "size", "took", "parameters"], ...rows]))
    const what = `${garbage.actions.length} results, ${bytes(garbage.bytes)} in ${garbage.blobs.length} blobs, ${duration(garbage.seconds)} to compute again`
    return yield* Console.log(
      given.yes
        ? `removed: ${what}`
        : `could go: ${what}${garbage.blobs.length + rows.length === 0 ? "" : "; --yes removes it"}`,
    )
  },
  (effect, given) => on(given)(effect),
)

export const verify = Effect.fnUntraced(
  function* (given: Printed) {
    const progress = Progress.of()
    const report = yield* Verify.all((done, total) =>
      Effect.sync(() => (given.json ? undefined : progress.say(`hashed ${done} of ${total} blobs`))),
    )
    yield* Effect.sync(progress.clear)
    if (given.json) yield* Console.log(JSON.stringify(report))
    else {
      for (const { actions, blob } of report.damaged) {
        const users = actions.map(({ ingredients, label }) => `${ingredients.stage} ${label ?? ""}`.trim())
        const needed =
          users.length === 0 ? "no result needs it" : `needed by ${[...new Set(users)].join(", ")}`
        yield* Console.log(`  ${Digest.short(blob.digest)}  damaged, set aside in quarantine/; ${needed}`)
      }
      for (const { ingredients, key } of report.incomplete)
        yield* Console.log(
          `  ${Digest.short(key)}  ${ingredients.stage}: not all of its content is there; it will run again`,
        )
      yield* Console.log(
        `${report.blobs} blobs, ${bytes(report.bytes)}: ${report.damaged.length === 0 ? "all whole" : `${report.damaged.length} damaged`}`,
      )
    }
    if (report.damaged.length > 0)
      return yield* new DamageError({ store: given.store, blobs: report.damaged.length })
    return undefined
  },
  (effect, given) => on(given)(effect),
)

export const serve = Effect.fnUntraced(
  function* (given: Given & { readonly host: string; readonly port: number }) {
    const StoreServer = yield* Effect.promise(() => import("@hila/core/StoreServer"))
    const { host, port } = given
    const url = yield* StoreServer.serve({ host, port, ...Stores.token() })
    yield* Console.log(`${given.store} at ${url}`)
    return yield* Effect.never
  },
  Effect.scoped,
  (effect, given) => on(given)(effect),
)
