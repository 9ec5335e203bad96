import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { ChildProcess } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { type Workbench, workbench } from "./workbench.ts"

const elements = (bench: Workbench): ReadonlyArray<string> =>
  existsSync(bench.path("elements.log"))
    ? readFileSync(bench.path("elements.log"), "utf8").trimEnd().split("\n")
    : []

/** Waits until the running pipeline has computed some elements. */
const until = (bench: Workbench, count: number): Effect.Effect<void> =>
  Effect.suspend(() =>
    elements(bench).length >= count ? Effect.void : Effect.delay(until(bench, count), 20),
  )

/** Waits until a command has said something. */
const says = (child: ChildProcess, what: RegExp) =>
  Effect.callback<void>((resume) => {
    let out = ""
    child.stdout?.on("data", (chunk) => {
      out += String(chunk)
      if (what.test(out)) resume(Effect.void)
    })
  })

const jsonLines = (text: string): ReadonlyArray<{ readonly _tag: string }> =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))

describe("hila run", () => {
  it.live("prints the outputs, and finds everything again the second time", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const first = yield* bench.hila("run", "toy.ts")
      assert.strictEqual(first.err, "")
      assert.strictEqual(first.code, 0)
      assert.match(first.out, /0 hits, 2 runs/)
      assert.include(first.out, "doubled: 6\n\ntable\n6\n12\n18\n24\n30\n36\n")
      const second = yield* bench.hila("run", "toy.ts")
      assert.match(second.out, /double two {2}hit {6}6\n/)
      assert.match(second.out, /2 hits, 0 runs/)
      assert.include(second.out, "doubled: 6\n\ntable\n6\n12\n18\n24\n30\n36\n")
      assert.strictEqual(elements(bench).length, 6)
    }),
  )

  it.live("makes only the outputs it is asked for", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("run", "toy.ts", "doubled", "--set", "density=4", "--store", "kept")
      assert.match(out, /doubled: 8\n$/)
      assert.deepStrictEqual(elements(bench), [])
      assert.deepStrictEqual(bench.files(), ["kept", "toy.ts"])
    }),
  )

  it.live("prints one JSON event per line and the outputs last with --json", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("run", "toy.ts", "--json", "--jobs", "1")
      const lines = jsonLines(out)
      assert.strictEqual(lines[0]?._tag, "Planned")
      assert.isTrue(lines.some(({ _tag }) => _tag === "Progress"))
      assert.deepStrictEqual<unknown>(lines.at(-1), {
        _tag: "Outputs",
        outputs: {
          doubled: { artifact: "number", summary: "6", value: 6 },
          table: { artifact: "numbers", summary: "numbers", value: [6, 12, 18, 24, 30, 36] },
        },
      })
    }),
  )

  it.live("killed at any moment, goes on where it was", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const child = bench.start("run", "toy.ts", "--set", "pause=100")
      const finished = yield* Effect.forkChild(bench.finish(child))
      yield* until(bench, 3)
      child.kill("SIGKILL")
      yield* Fiber.join(finished)
      const before = elements(bench).length
      const again = yield* bench.hila("run", "toy.ts", "--set", "pause=100")
      assert.strictEqual(again.code, 0)
      assert.include(again.out, "table\n6\n12\n18\n24\n30\n36\n")
      // Nothing but the element that was in flight is computed twice.
      assert.isAtMost(elements(bench).length, 7)
      assert.isAtLeast(before, 3)
    }),
  )

  it.live("stopped by a signal, says so in one line and exits with 130", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      // Longer than any test waits: it is stopped before its first element, however late the signal comes.
      const child = bench.start("run", "toy.ts", "--set", "pause=3600000")
      const finished = yield* Effect.forkChild(bench.finish(child))
      yield* says(child, /list two +starts/)
      child.kill("SIGTERM")
      const { code, err } = yield* Fiber.join(finished)
      assert.strictEqual(err, "hila: stopped; what was finished is kept, run it again to go on\n")
      assert.strictEqual(code, 130)
    }),
  )
})

describe("hila plan, explain and graph", () => {
  it.live("plan says what changed, from what to what, and runs nothing", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      yield* bench.hila("run", "toy.ts")
      const { out } = yield* bench.hila("plan", "toy.ts", "--set", "density=5")
      assert.match(out, /double two +run +(.+\.)?(density|by): 3 → 5\n/)
      assert.match(out, /list two +waits +on double two\n/)
      assert.strictEqual(elements(bench).length, 6)
      const json: unknown = JSON.parse((yield* bench.hila("plan", "toy.ts", "--json")).out)
      assert.isArray(json)
    }),
  )

  it.live("explain takes a stage's title", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("explain", "toy.ts", "double", "two")
      assert.strictEqual(out, "double two has to run:\n  never ran\n")
      const wrong = yield* bench.hila("explain", "toy.ts", "doubel")
      assert.strictEqual(wrong.err, 'hila: there is no stage "doubel", did you mean "double"?\n')
      assert.strictEqual(wrong.code, 2)
    }),
  )

  it.live("options lists what may be set, with defaults, and the outputs, and makes no store", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("options", "toy.ts")
      assert.strictEqual(
        out,
        "  density  3  what to multiply by\n  pause    0  milliseconds per element\noutputs: doubled, table\n",
      )
      assert.deepStrictEqual(bench.files(), ["toy.ts"])
    }),
  )

  it.live("plan of one output leaves out what it does not need", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("plan", "toy.ts", "doubled")
      assert.match(out, /double two +run/)
      assert.notMatch(out, /list two/)
    }),
  )

  it.live("graph prints a Mermaid flow chart and makes no store", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("graph", "toy.ts", "--mermaid")
      assert.match(out, /^flowchart LR\n/)
      assert.deepStrictEqual(bench.files(), ["toy.ts"])
    }),
  )

  it.live("help has examples", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      assert.match((yield* bench.hila("--help")).out, /hila run pipelines\/hila\.ts/)
      assert.match((yield* bench.hila("run", "--help")).out, /--set name=value/)
    }),
  )
})
