import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { events, hila, type LoggedEvent, pipeline, temporaryStore } from "./command.ts"

/** Small sets: these tests are about what runs when, not about the figures. */
const small = (density: number) =>
  [`golden=24`, `questions=12`, `density=${density}`].flatMap((option) => ["--set", option])
/** The outputs; the lines of stages before them have times. */
const table = (out: string) => out.slice(out.indexOf("\narithmetic\n"))
const titles = (run: ReadonlyArray<LoggedEvent>, tag: string) =>
  run.filter((event) => event._tag === tag).map((event) => event.node ?? "")

const run = (store: string, density = 0.2) => hila(["run", pipeline, "--store", store, ...small(density)])

describe("pipelines/hila.ts", () => {
  it.effect(
    "runs once, then everything hits; another density reruns pruning and what follows, another λ tuning alone; the plan says why",
    () =>
      Effect.gen(function* () {
        const store = yield* temporaryStore
        const first = yield* run(store)
        assert.strictEqual(first.error, "")
        assert.strictEqual(first.code, 0)
        for (const word of ["base", "math", "task arithmetic", "HILA", "retention", "n = 12"]) {
          assert.include(table(first.out), word)
        }

        const second = yield* run(store)
        assert.strictEqual(table(second.out), table(first.out))
        const [firstRun, secondRun] = yield* events(store)
        assert.deepStrictEqual(titles(secondRun ?? [], "Started"), [])
        assert.sameMembers(titles(secondRun ?? [], "Hit"), titles(firstRun ?? [], "Published"))

        yield* run(store, 0.15)
        const third = (yield* events(store))[2] ?? []
        assert.sameMembers(titles(third, "Started"), [
          "prune math",
          "prune code",
          "prune lang",
          "merge math pruned",
          "merge code pruned",
          "merge lang pruned",
          "tune hila",
          "choice hila",
          "merged hila",
          "accuracy HILA",
          "golden-loss HILA",
          "compare all models",
        ])

        const before = yield* Effect.promise(() => readdir(join(store, "runs")))
        const plan = yield* hila(["plan", pipeline, "--store", store, ...small(0.1)])
        assert.strictEqual(plan.code, 0)
        assert.match(plan.out, /prune math +run +density: 0\.15 → 0\.1\n/)
        assert.match(plan.out, /importance math +hit /)
        assert.match(
          plan.out,
          /tune hila +waits +on merge math pruned, merge code pruned, merge lang pruned\n/,
        )
        const other = yield* hila(["plan", pipeline, "--store", store, ...small(0.15), "--set", "budget=12"])
        for (const kept of ["golden math score", "importance math", "prune math", "merge math pruned"]) {
          assert.match(other.out, new RegExp(`${kept} +hit `))
        }
        assert.match(other.out, /tune hila +run +domains: /)
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(store, "runs"))), before)
      }),
    180_000,
  )

  it.effect(
    "killed with SIGKILL again and again, it ends with the same table and repeats nothing that was finished",
    () =>
      Effect.gen(function* () {
        const [calm, harried] = [yield* temporaryStore, yield* temporaryStore]
        const expected = table((yield* run(calm)).out)
        // Each attempt dies as soon as one more element or stage than before is finished, wherever that is.
        const interval = 9
        for (let attempt = 0; attempt < 4; attempt++) {
          let seen = 0
          const outcome = yield* hila(
            ["run", pipeline, "--store", harried, ...small(0.2), "--json"],
            (line) => /"_tag":"(Progress|Published)"/.test(line) && ++seen > interval,
          )
          assert.strictEqual(outcome.signal, "SIGKILL")
        }
        const last = yield* run(harried)
        assert.strictEqual(last.error, "")
        assert.strictEqual(table(last.out), expected)

        const runs = yield* events(harried)
        const published = runs.flatMap((one) => one.filter((event) => event._tag === "Published"))
        assert.strictEqual(new Set(published.map((event) => event.key)).size, published.length)
        assert.deepStrictEqual(repeated(runs), [])
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(harried, "tmp"))), [])
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(join(harried, "parts"))), [])
      }),
    180_000,
  )
})

/**
 * Stages that computed elements again which an earlier run had logged as done: per stage, the elements a later run
 * kept have to be at least those.
 */
const repeated = (runs: ReadonlyArray<ReadonlyArray<LoggedEvent>>): ReadonlyArray<string> => {
  const finished = new Map<string, number>()
  const faults: Array<string> = []
  for (const one of runs) {
    const progress = Map.groupBy(
      one.filter((event) => event._tag === "Progress"),
      (event) => event.node ?? "",
    )
    for (const [node, own] of progress) {
      const kept = Math.max(...own.map((event) => event.kept ?? 0))
      const done = Math.max(...own.map((event) => event.done ?? 0))
      const owed = Math.min(finished.get(node) ?? 0, done)
      if (kept < owed) faults.push(`${node}: kept ${kept} of ${owed}`)
      finished.set(node, Math.max(done, finished.get(node) ?? 0))
    }
  }
  return faults
}
