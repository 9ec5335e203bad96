// What importance methods say of themselves. That a method cannot read an option it does not name is held by
// ../typetest/Method.ts.
import { assert, describe, it } from "@effect/vitest"
import { Checkpoint, Example } from "@hila/model"
import { Source } from "@hila/core"
import { Stages } from "@hila/scoring"
import { readFileSync } from "node:fs"
import { needs } from "../src/importance/Method.ts"
import { byName } from "../src/importance/Methods.ts"
import { names, versions } from "../src/importance/names.ts"
import { options } from "../src/importance/options.ts"

const directory = new URL("../src/importance/", import.meta.url)
const headers = readFileSync(new URL("names.ts", directory), "utf8")

describe("importance methods", () => {
  for (const name of names) {
    it(`${name} is called so, and its sources stand in its file`, () => {
      const method = byName[name]
      assert.strictEqual(method.name, name)
      const file = new RegExp(`^  ${name}: .*"(\\./.*?)"`, "m").exec(headers)?.[1] ?? ""
      const [header = ""] = readFileSync(new URL(file, directory), "utf8").split("*/")
      for (const { arxiv } of method.sources) if (arxiv !== undefined) assert.include(header, arxiv)
      assert.match(method.summary, /^[a-z].*[^.]$/)
    })
  }

  it("above version 1 are listed where keys are made, without loading them", () => {
    const raised = Object.values(byName).flatMap(({ name, version }) =>
      version > 1 ? [[name, version]] : [],
    )
    assert.deepStrictEqual(versions, Object.fromEntries(raised))
  })

  it("need what they cost", () => {
    assert.deepStrictEqual(needs(byName.magnitude), { data: false, gradients: false })
    assert.deepStrictEqual(needs(byName.revert), { data: true, gradients: false })
    assert.deepStrictEqual(needs(byName.pathIntegrated), { data: true, gradients: true })
  })

  it("name the options that something is done with", () => {
    const used = new Set(Object.values(byName).flatMap((method) => method.options))
    assert.deepStrictEqual([...used].toSorted(), Object.keys(options).toSorted())
  })

  it("of version 1 stand in keys by their names alone", () => {
    const [base, golden] = [Checkpoint.source("base"), Source.value(Example.artifact, [])]
    for (const method of names.filter((name) => versions[name] === undefined)) {
      const { encodedParams } = Stages.importance(
        { base, expert: base, golden },
        { method, scheme: "kvGroup" },
      )
      assert.deepStrictEqual(encodedParams, { method, scheme: "kvGroup" })
    }
  })
})
