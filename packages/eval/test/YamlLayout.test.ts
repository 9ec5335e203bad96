/** YAML as PyYAML reads it: odd layouts with what PyYAML makes of them (tools/oracles/yaml_layouts.py). */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { FunctionName } from "../src/tasks/TaskConfig.ts"
import * as Yaml from "../src/tasks/Yaml.ts"

const recorded: ReadonlyArray<readonly [string, unknown]> = JSON.parse(
  readFileSync(new URL("fixtures/yaml-layouts.json", import.meta.url), "utf8"),
)

/** A value as the recorded ones are: functions by their names, numbers that JSON cannot name as texts. */
const plain = (value: unknown): unknown => {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value)
  if (value instanceof FunctionName) return { function: value.function }
  if (Array.isArray(value)) return value.map(plain)
  return typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value).map(([key, own]) => [key, plain(own)]))
    : value
}

describe("YAML", () => {
  it.effect("of every layout that PyYAML lets pass says what PyYAML reads", () =>
    Effect.gen(function* () {
      for (const [text, wanted] of recorded)
        assert.deepStrictEqual(plain(yield* Yaml.parse("t.yaml", text)), wanted, JSON.stringify(text))
    }),
  )

  const aliases = Array.from({ length: 12 }, (_, i) => {
    const before = i === 0 ? "a" : `k${i - 1}`
    return `k${i}: &k${i} [${`*${before}, `.repeat(9)}]\n`
  }).join("")

  it.effect.each([
    [
      "a template without quotes",
      "a: 1\ndoc_to_text: {{question}}\n",
      "t.yaml:2: a mapping stands for a name; a template in braces has to be in quotes",
    ],
    ["a quoted text without an end", 'a: 1\nb: "x\n', 't.yaml:3: Missing closing "quote'],
    [
      "a list without an end",
      "a: [\n1,\n",
      "t.yaml:2: Flow sequence in block collection must be sufficiently indented and end with a ]",
    ],
    [
      "aliases without an end",
      `a: &a [1]\n${aliases}`,
      "t.yaml: cannot be read: Excessive alias count indicates a resource exhaustion attack",
    ],
  ] as const)("that cannot be meant is told by its line: %s", ([, text, says]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Yaml.parse("t.yaml", text))
      assert.strictEqual(error.message, says)
    }),
  )
})
