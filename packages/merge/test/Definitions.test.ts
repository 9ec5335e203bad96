// What definitions of methods say, held against one another and against their files. That a parameter renamed in one
// place alone does not compile is held by ../typetest/Definition.ts.
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import type { Parameter, Scalar } from "../src/methods/Definition.ts"
import { files, names, versions } from "../src/methods/names.ts"
import { chosen } from "../src/methods/Parameters.ts"
import { definitions } from "../src/methods/registry.ts"

const fits = ({ kind, range }: Parameter, value: Scalar): boolean => {
  if (kind === "number") {
    const [least, greatest] = range ?? [-Infinity, Infinity]
    return typeof value === "number" && value >= least && value <= greatest
  }
  return kind === "boolean" ? typeof value === "boolean" : kind.includes(String(value))
}

describe("definitions of methods", () => {
  for (const name of names) {
    it(`${name} is called so, has defaults that it would accept, and its sources stand in its file`, async () => {
      const definition = definitions[name]
      assert.strictEqual(definition.name, name)
      for (const [key, parameter] of Object.entries(definition.parameters)) {
        for (const profile of ["tool", "paper"] as const) {
          for (const value of [parameter.default, parameter.flags?.true, parameter.flags?.false]) {
            const found = chosen(value, profile)
            assert.isTrue(found === undefined || fits(parameter, found), `${key}: ${String(found)}`)
          }
        }
        assert.isNotEmpty(parameter.description, key)
      }
      const { method } = await files[name]()
      const [header = ""] = readFileSync(fileURLToPath(method.module), "utf8").split("*/")
      assert.isNotEmpty(definition.sources)
      for (const { arxiv } of definition.sources)
        if (arxiv !== undefined) assert.include(header, arxiv, "the header names its source")
      assert.match(definition.summary, /^[a-z].*[^.]$/)
    })
  }

  it("above version 1 are listed where keys are made, without loading them", () => {
    const raised = Object.values(definitions).flatMap(({ name, version }) =>
      version > 1 ? [[name, version]] : [],
    )
    assert.deepStrictEqual(versions, Object.fromEntries(raised))
  })
})
