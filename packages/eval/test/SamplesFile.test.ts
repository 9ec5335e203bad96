/** Samples files beside those that the reference harness wrote itself (tools/oracles/samples_file.py), field by field. */
import { assert, layer } from "@effect/vitest"
import { at, entry } from "@hila/core/Lookup"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as Suite from "../src/Suite.ts"
import * as Catalog from "../src/tasks/Catalog.ts"
import { checkpointPath } from "./fixtures.ts"
import { bench } from "./support.ts"

type Line = Readonly<Record<string, unknown>>

const recorded: {
  readonly rows: string
  readonly tasks: Readonly<Record<string, string>>
  readonly samples: Readonly<Record<string, ReadonlyArray<Line>>>
} = JSON.parse(readFileSync(new URL("fixtures/samples-file.json", import.meta.url), "utf8"))

/** A decimal number, as log-likelihoods stand in samples. */
const isDecimal = (text: string) => /^-?\d+\.\d+$/.test(text)

/** Asserts that two values are equal but for the last digits of log-likelihoods; a truth value is a number, as in Python. */
const alike = (got: unknown, wanted: unknown, what: string): void => {
  if (Array.isArray(wanted)) {
    assert.isArray(got, what)
    const list = got as ReadonlyArray<unknown>
    assert.lengthOf(list, wanted.length, what)
    wanted.forEach((part, i) => alike(list[i], part, `${what} ${i}`))
  } else if (typeof wanted === "object" && wanted !== null) {
    assert.sameMembers(Object.keys(got as object), Object.keys(wanted), what)
    for (const [key, own] of Object.entries(wanted)) alike((got as Line)[key], own, `${what} ${key}`)
  } else if (typeof wanted === "number" || (typeof wanted === "string" && isDecimal(wanted))) {
    assert.strictEqual(typeof got, typeof wanted, what)
    assert.closeTo(Number(got), Number(wanted), 1e-4 * Math.max(1, Math.abs(Number(wanted))), what)
  } else if (typeof got === "number") {
    assert.strictEqual(got, Number(wanted), what)
  } else {
    assert.strictEqual(got, wanted, what)
  }
}

layer(Runtime.layer)("a samples file", (it) => {
  it.effect("has every field that the harness writes, with what it writes there", () =>
    Effect.gen(function* () {
      const { path, write } = yield* bench
      write("rows.jsonl", recorded.rows)
      const files = Object.entries(recorded.tasks).map(([name, text]) => write(`${name}.yaml`, text))
      const model = yield* CausalModel.open(yield* Checkpoint.open(checkpointPath("math")))
      yield* Suite.run(model, "math", yield* Catalog.select(files), { output: path("out"), replicates: 0 })
      const written = readdirSync(path("out/math"))
      for (const name of Object.keys(recorded.tasks)) {
        const file = written.find((one) => one.startsWith(`samples_${name}_`)) ?? ""
        const lines = readFileSync(join(path("out/math"), file), "utf8")
          .trimEnd()
          .split("\n")
        const samples = entry(recorded.samples, name)
        assert.lengthOf(lines, samples.length, name)
        for (const [i, line] of lines.entries()) {
          const { metrics, ...fields } = JSON.parse(line) as Line
          const { metrics: named, ...wanted } = at(samples, i)
          assert.sameMembers(metrics as Array<unknown>, named as Array<unknown>, name)
          alike(fields, wanted, `${name} ${i}`)
        }
      }
    }).pipe(Effect.scoped),
  )
})
