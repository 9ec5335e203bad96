/** Templates as the reference harness's environment renders them: values, operators, methods and filters of Python's. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as Jinja from "../src/internal/jinja.ts"
import * as Json from "../src/tasks/Json.ts"

// Made by tools/oracles/jinja_templates.py.
const text = readFileSync(new URL("fixtures/jinja-templates.json", import.meta.url), "utf8")
const recorded = Json.parse(text) as {
  readonly doc: Readonly<Record<string, unknown>>
  readonly templates: ReadonlyArray<{ readonly template: string; readonly text: string | null }>
}

const rendered = (template: string): string | null => {
  try {
    return Jinja.render(Jinja.compile(template), recorded.doc)
  } catch {
    return null
  }
}

describe("a template", () => {
  // The case capitalize is the first of them.
  it.each(recorded.templates.map((one) => [JSON.stringify(one.template), one] as const))(
    "is rendered as Python's Jinja2 renders it, or refused: %s",
    (_, one) => {
      assert.strictEqual(rendered(one.template), one.text)
    },
  )

  it.each([
    ["{{t|xmlattr}}", /^there is no filter xmlattr$/],
    ["{{t|uper}}", /^there is no filter uper; did you mean upper\?$/],
    ["{{t.format(1)}}", /^the method format cannot be called here$/],
    ["{{t + n}}", /^\+ between a text and an integer is not possible$/],
    ["{{n // 0}}", /^division by zero$/],
  ] as const)("that asks for what is not there is told so: %s", (template, problem) => {
    assert.throws(() => Jinja.render(Jinja.compile(template), recorded.doc), problem)
  })
})
