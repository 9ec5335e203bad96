import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFile } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { temporaryDirectory } from "./temporary.ts"

const root = fileURLToPath(new URL("../../..", import.meta.url))

/** The lines of a source that the rule reports. */
const reported = Effect.fnUntraced(function* (lines: ReadonlyArray<string>) {
  const directory = yield* temporaryDirectory
  const [config, source] = [join(directory, "rule.json"), join(directory, "source.ts")]
  const rule = {
    jsPlugins: [join(root, "tools/oxlint-lookup.mjs")],
    categories: { correctness: "off" },
    rules: { "lookup/no-fall-back": "error" },
  }
  yield* Effect.promise(() => writeFile(config, JSON.stringify(rule)))
  yield* Effect.promise(() => writeFile(source, lines.join(";\n")))
  const text = yield* Effect.promise(
    () =>
      new Promise<string>((resolve) => {
        const args = [join(root, "node_modules/oxlint/bin/oxlint"), "-c", config, "-f", "unix", source]
        execFile(process.execPath, args, { cwd: directory }, (_, stdout) => resolve(stdout))
      }),
  )
  const found = new Set(
    [...text.matchAll(/source\.ts:(\d+):\d+: a lookup with/g)].map(([, line]) => Number(line)),
  )
  return lines.filter((_, i) => found.has(i + 1))
})

describe("The lint rule of lookups", () => {
  it.live("reports an index or key that falls back to a made-up value", () =>
    Effect.gen(function* () {
      const bad = [
        "places.get(to) ?? 0",
        "names[i] ?? ''",
        "rows[i] ?? []",
        "rows[i] ?? [0, 1]",
        "rows[i][j] ?? -1",
        "rows.at(-1) ?? NaN",
        "sums.get(k) ?? Number.NaN",
        "sums.get(k) ?? new Float32Array(0)",
        "places.get(k) ?? { x: 0, y: 0 }",
        "rows[0]?.length ?? 0",
        "rows[0]?.[1] ?? 0",
        "scores.get(unit)?.score ?? 0",
        "(rows[i] as number) ?? 0",
        "rows[i] ?? `none`",
      ]
      assert.deepStrictEqual(yield* reported(bad), bad)
    }),
  )

  it.live("leaves defaults alone, and what is about to be kept", () =>
    Effect.gen(function* () {
      const good = [
        "config.bias ?? 'none'",
        "config['bias'] ?? 'none'",
        "range?.[0] ?? 0",
        "heads?.get(name) ?? []",
        "rows[i] ?? fail('no row')",
        "rows[i] ?? other",
        "sets.get(k) ?? new Set()",
        "passes.get(k) ?? { users: 0, opened: slots.slice() }",
        "at(rows, i)",
        "atOr(rows, i, 0)",
        "entryOr(counts, k, 0) + 1",
      ]
      assert.deepStrictEqual(yield* reported([...good, "rows[i] ?? 0"]), ["rows[i] ?? 0"])
    }),
  )
})
