import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chmodSync, cpSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { good, workbench } from "./workbench.ts"

describe("what earlier runs left", () => {
  it.live("runs lists them, diff compares them, checkout copies an output, why traces it back", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      assert.strictEqual((yield* bench.hila("runs")).out, "no run yet\n")
      yield* bench.hila("run", "toy.ts")
      yield* bench.hila("run", "toy.ts", "--set", "density=4")
      const { out } = yield* bench.hila("runs")
      assert.match(out, /toy +finished +[\d.]+ s +0 hits, 2 runs\n.*density=4\n$/)

      const diff = yield* bench.hila("diff")
      assert.match(diff.out, / {2}double two {2}\w{8} → \w{8}\n {4}by: 3 → 4\n {4}6 → 8\n {4}number: 6 → 8\n/)

      const copied = yield* bench.hila("checkout", "table", "table.json")
      assert.strictEqual(copied.out, "table.json: toy/table, 19 B\n")
      writeFileSync(bench.path("table.json"), "mine now")
      const again = yield* bench.hila("checkout", "table", "table.json")
      assert.match(
        again.err,
        /^hila: cannot check out to .*table\.json: it exists already: give a path that is new, or remove what is there\n$/,
      )
      assert.strictEqual(again.code, 2)
      yield* bench.hila("checkout", "toy/table", "second.json")
      assert.strictEqual(readFileSync(bench.path("second.json"), "utf8"), "[8,16,24,32,40,48]\n")

      const why = yield* bench.hila("why", "second.json")
      assert.match(why.out, /^list two v1 · .*pause=0\n {2}value: double two v1 · .*by=4\n {4}value: a value/)
      assert.match((yield* bench.hila("why", "table.json")).err, /was not produced by any run in \.hila\n$/)
    }),
  )

  it.live("gc says what could go and removes it only when told to; verify sets damage aside", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      yield* bench.hila("run", "toy.ts")
      yield* bench.hila("run", "toy.ts", "--set", "density=4")
      const would = yield* bench.hila("gc", "--runs", "1", "--grace", "0")
      assert.match(would.out, /double two .* by=3\n/)
      assert.match(would.out, /could go: 2 results, .*; --yes removes it\n$/)
      yield* bench.hila("gc", "--runs", "1", "--grace", "0", "--yes")
      assert.match((yield* bench.hila("run", "toy.ts", "--set", "density=4")).out, /2 hits, 0 runs/)
      assert.match((yield* bench.hila("run", "toy.ts")).out, /0 hits, 2 runs/)

      assert.match((yield* bench.hila("verify")).out, /: all whole\n$/)
      const cas = bench.path(".hila/cas")
      const blobs = readdirSync(cas).flatMap((prefix) =>
        readdirSync(join(cas, prefix)).map((name) => join(cas, prefix, name)),
      )
      const blob = blobs.find((path) => readFileSync(path, "utf8") === "6\n") ?? ""
      chmodSync(blob, 0o644)
      const before = statSync(blob)
      writeFileSync(blob, "7\n")
      assert.strictEqual(statSync(blob).size, before.size)
      const damaged = yield* bench.hila("verify")
      assert.match(damaged.out, /damaged, set aside in quarantine\/; needed by double two\n/)
      assert.match(damaged.err, /^hila: \.hila: 1 damaged; [^\n]+\n$/)
      assert.strictEqual(damaged.code, 1)
      assert.match((yield* bench.hila("run", "toy.ts")).out, /1 hits, 1 runs/)
    }),
  )

  it.live("a changed stage is hit*, explain names the file, accept or --strict settles it", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      yield* bench.hila("run", "toy.ts")
      bench.write("toy.ts", `${good}\n// a comment`)
      const plan = yield* bench.hila("plan", "toy.ts")
      assert.match(plan.out, /double two {2}hit\* {3}6\n/)
      assert.match(
        (yield* bench.hila("explain", "toy.ts", "double two")).out,
        /where it differs:\n {4}toy\.ts\n/,
      )
      assert.match(
        (yield* bench.hila("plan", "toy.ts", "--strict")).out,
        /run +its code differs .*: toy\.ts\n/,
      )
      assert.match((yield* bench.hila("accept", "toy.ts", "double")).out, /1 accepted/)
      assert.match((yield* bench.hila("plan", "toy.ts")).out, /double two {2}hit {4}6\n {2}list two {4}hit\*/)
      assert.match((yield* bench.hila("run", "toy.ts", "--strict")).out, /1 hits, 1 runs/)
      assert.notInclude((yield* bench.hila("plan", "toy.ts")).out, "hit*")
    }),
  )

  it.live("a sweep runs every combination once and prints one table", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { out } = yield* bench.hila("sweep", "toy.ts", "--over", "density=2,3", "--over", "pause=0,1")
      assert.match(out, / {2}density {2}pause {2}doubled\.number\n {2}2 {8}0 {6}4\n/)
      assert.match(out, /0 hits, 6 runs/)
      // Its variants stay while the run is one of the last, not for ever.
      assert.match((yield* bench.hila("gc", "--runs", "0", "--grace", "0")).out, /6 results/)
      const wrong = yield* bench.hila("sweep", "toy.ts", "--over", "density")
      assert.strictEqual(wrong.err, "hila: --over density: expected name=a,b,c\n")
    }),
  )

  it.live("a sweep refuses what would be the same variant twice, and names the stage that fails", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const mistakes: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
        [["--over", "density=1,2,1"], /^hila: --over density=1,2,1: 1 is there twice, /],
        [["--over", "density=1", "--over", "density=2"], /^hila: --over density: given twice, /],
        [["--over", "density=1", "--set", "density=2"], /^hila: --over density: --set gives it one value, /],
        [
          ["--over", "densty=1"],
          /unknown option "densty", did you mean "density"\? it takes density, pause\n$/,
        ],
        [["--over", "density=12,13"], /^hila: double two: thirteen is bad luck\n$/],
      ]
      for (const [args, line] of mistakes) {
        const { code, err } = yield* bench.hila("sweep", "toy.ts", ...args)
        assert.match(err, line)
        assert.strictEqual(code, 2)
      }
    }),
  )

  it.live("a served store gives its results to others, and an unreachable one is a warning", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const server = yield* Effect.acquireRelease(
        Effect.sync(() => bench.start("store", "serve", "--store", "shared", "--port", "0")),
        (child) => Effect.sync(() => child.kill()),
      )
      const url = yield* Effect.callback<string>((resume) => {
        server.stdout?.once("data", (text) =>
          resume(Effect.succeed(String(text).trim().replace("shared at ", ""))),
        )
      })
      yield* bench.hila("run", "toy.ts", "--store", "mine", "--remote", url)
      const other = yield* bench.hila("run", "toy.ts", "--store", "yours", "--remote", url)
      assert.match(other.out, /2 hits, 0 runs/)
      assert.strictEqual(other.err, "")
      server.kill()
      const alone = yield* bench.hila("run", "toy.ts", "--store", "third", "--remote", "http://127.0.0.1:9")
      assert.match(alone.err, /^hila: warning: remote store [^\n]+; going on without it\n$/)
      assert.strictEqual(alone.code, 0)
    }),
  )

  it.live("a run that keeps going makes the rest, and tells every failure", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      bench.write(
        "two.ts",
        good.replace(
          "return { doubled,",
          'return { bad: double({ value: Source.value(number, 1) }, { by: 14 }, "bad"), doubled,',
        ),
      )
      const { code, err, out } = yield* bench.hila("run", "two.ts", "--keep-going")
      assert.match(out, / {2}double bad {2}failed {3}disk on fire\n/)
      assert.match(out, /list two +[\d.]+ s /)
      assert.match(err, /^hila: double bad: disk on fire[^\n]*\n$/)
      assert.strictEqual(code, 1)
      assert.match((yield* bench.hila("graph", "two.ts", "--dot")).out, /^digraph pipeline \{\n/)
    }),
  )

  it.live("a checkpoint that is checked out has a card: what it was made of, and how to make it again", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const micro = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))
      // A model whose own card names what it was trained on; the merge's card names that, and is another card.
      cpSync(join(micro, "math"), bench.path("sums"), { recursive: true })
      writeFileSync(bench.path("sums/README.md"), "---\ntrainedOn: [gsm8k]\n---\n\n# A model of sums\n")
      bench.write(
        "merging.ts",
        `
import { Pipeline } from "@hila/core"
import { Stages as Merging } from "@hila/merge"
import { Checkpoint } from "@hila/model"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

export default Pipeline.make({
  name: "merging",
  options: { heavy: Pipeline.option(Schema.Finite, 1, "weight of the first") },
  build: ({ heavy }) => {
    const models = [Checkpoint.source("sums"), Checkpoint.source(${JSON.stringify(join(micro, "code"))})]
    return { merged: Merging.linear({ models }, { weights: [heavy, 1] }, "two | models") }
  },
  layer: Layer.empty,
})
`,
      )
      const ran = yield* bench.hila("run", "merging.ts", "--set", "heavy=2")
      assert.strictEqual(ran.err, "")
      const out = yield* bench.hila("checkout", "merged", "copy")
      assert.strictEqual(out.err, "")
      const card = readFileSync(bench.path("copy/README.md"), "utf8")
      assert.match(
        card,
        /^---\nlibrary_name: "transformers"\ntags: \["merge","hila"\]\ntrainedOn: \["gsm8k"\]\nhila: /,
      )
      assert.include(card, "# merging/merged\n")
      assert.include(card, "hila run merging.ts merged --set heavy=2\n")
      assert.match(card, /\| sums \| [0-9a-f]{64} \|\n\| code \| [0-9a-f]{64} \|\n/)
      assert.match(
        card,
        /\| linear two \\\| models \| \d+ \| weights \[2,1\][^\n]* \| llama, [^\n]* \| [0-9a-f]{64} \|\n/,
      )
      // Where things lay is nobody else's business.
      assert.notInclude(card, bench.path("."))
      assert.notInclude(card, micro)
      // The weights are what they were, and what the store has is as it was.
      assert.match((yield* bench.hila("verify")).out, /: all whole\n$/)
      assert.strictEqual((yield* bench.hila("inspect", "copy", "--strict")).code, 0)
    }),
  )
})
