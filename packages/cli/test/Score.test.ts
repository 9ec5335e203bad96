import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { cpSync, existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const micro = (member: string) => fileURLToPath(new URL(`../../../fixtures/micro/${member}`, import.meta.url))

/** Three sums as the math expert answers them. */
const golden = [
  ["87+45", "132"],
  ["39+83", "122"],
  ["94-11", "83"],
]
  .map(([question, answer]) => JSON.stringify({ prompt: `Q: ${question}\nA:`, response: ` ${answer}\n` }))
  .join("\n")

describe("hila score", () => {
  it.effect(
    "scores, keeps the result, writes files, and compares them",
    () =>
      Effect.gen(function* () {
        const { hila, path, write } = yield* workbench
        write("golden.jsonl", golden)
        const score = (method: string) =>
          hila(
            "score",
            micro("base"),
            micro("math"),
            "--golden",
            path("golden.jsonl"),
            "--method",
            method,
            "--output",
            path(`${method}.json`),
            "--svg",
            path(`${method}.svg`),
            "--store",
            path("store"),
          )
        const first = yield* score("revert")
        assert.strictEqual(first.err, "")
        assert.match(
          first.out,
          /revert of 20 units on 3 examples: 66 forward passes, the time of about 41 forward /,
        )
        assert.match(first.out, /at most about \d+\.\d s left, by the time of the first part\n/)
        assert.match(first.out, /20 units by revert/)
        assert.match(first.out, /layer +g0 +g1 +g2 +g3 +mlp\n/)
        assert.include(readFileSync(path("revert.svg"), "utf8"), "<svg")
        const file: { scores: { examples: number; rows: ReadonlyArray<{ values: ReadonlyArray<number> }> } } =
          JSON.parse(readFileSync(path("revert.json"), "utf8"))
        assert.strictEqual(file.scores.examples, 3)
        assert.isTrue(file.scores.rows.every(({ values }) => values.length === 3))

        const again = yield* score("revert")
        assert.include(again.out, "2 hits, 0 runs")
        assert.notInclude(again.out, "passes")
        yield* score("magnitude")
        const compared = yield* hila(
          "scores",
          "compare",
          path("revert.json"),
          path("magnitude.json"),
          "--json",
        )
        const measured: ReadonlyArray<{ name: string; units: number; spearman: number }> = JSON.parse(
          compared.out,
        )
        assert.deepStrictEqual(
          measured.map(({ name, units }) => [name, units]),
          [
            ["all units", 20],
            ["heads", 16],
            ["MLPs", 4],
          ],
        )
        assert.isTrue(measured.every(({ spearman }) => spearman >= -1 && spearman <= 1))
        const shown = yield* hila("scores", "show", path("magnitude.json"))
        assert.match(shown.out, /20 units by magnitude/)
      }).pipe(Effect.scoped),
    120_000,
  )

  it.effect.each([
    ["no golden data", "", /importance: needs 2 golden examples or more/],
    ["a prompt without an answer", '{"prompt":"Q: 1+1\\nA:"}\n', /golden\.jsonl:1: .*response/],
    ["a line that is no JSON", "not json\n", /golden\.jsonl:1: /],
  ] as const)("answers %s with one line and exit 2", ([, text, says]) =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("golden.jsonl", text)
      const outcome = yield* hila(
        "score",
        micro("base"),
        micro("math"),
        "--golden",
        path("golden.jsonl"),
        "--output",
        path("scores.json"),
        "--store",
        path("store"),
      )
      assert.strictEqual(outcome.code, 2, outcome.err)
      assert.match(outcome.err, says)
      assert.match(outcome.err, /^hila: [^\n]+\n$/)
      assert.isFalse(existsSync(path("scores.json")))
    }).pipe(Effect.scoped),
  )

  it.effect("refuses to compare scores of different units", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("golden.jsonl", golden)
      for (const scheme of ["kvGroup", "queryHead"]) {
        yield* hila(
          "score",
          micro("base"),
          micro("math"),
          "--golden",
          path("golden.jsonl"),
          "--method",
          "layer",
          "--scheme",
          scheme,
          "--output",
          path(`${scheme}.json`),
          "--store",
          path("store"),
        )
      }
      const outcome = yield* hila("scores", "compare", path("kvGroup.json"), path("queryHead.json"))
      assert.strictEqual(outcome.code, 2)
      assert.match(outcome.err, /20 units and .*queryHead\.json 52, of which 4 are the same/)
    }).pipe(Effect.scoped),
  )

  it.effect("refuses a pair of models of different shape with one line", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("golden.jsonl", golden)
      cpSync(micro("math"), path("math"), { recursive: true })
      const config: object = JSON.parse(readFileSync(path("math/config.json"), "utf8"))
      write("math/config.json", JSON.stringify({ ...config, rms_norm_eps: 0.1 }))
      const models = [micro("base"), path("math")]
      const outcome = yield* hila("score", ...models, "--golden", path("golden.jsonl"), "--store", path("s"))
      assert.strictEqual(outcome.code, 2)
      assert.match(outcome.err, /^hila: .*math: is no fine-tune of .*base: normEps: expected [^\n]+\n$/)
    }).pipe(Effect.scoped),
  )

  it.effect("measures conflicts with a merged model by layer, and writes them", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("golden.jsonl", golden)
      const models = [micro("base"), micro("math"), micro("code")]
      const measured = yield* hila(
        "scores",
        "conflict",
        ...models,
        "--golden",
        path("golden.jsonl"),
        "--coefficient",
        "0.5",
        "--scheme",
        "layer",
        "--output",
        path("conflicts.json"),
        "--store",
        path("store"),
      )
      assert.strictEqual(measured.err, "")
      assert.match(measured.out, /\d of 4 units in conflict, 3 examples\n +unit +own +merged +conflict\n/)
      const written: { rows: ReadonlyArray<{ coefficient: number }> } = JSON.parse(
        readFileSync(path("conflicts.json"), "utf8"),
      )
      assert.deepStrictEqual(
        written.rows.map(({ coefficient }) => coefficient),
        [0.5, 0.5, 0.5, 0.5],
      )
    }).pipe(Effect.scoped),
  )
})
