import { Artifact, Choice, Stage } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const names = ["ties", "linear"] as const

/** The parameters of a call as its key sees them. */
const encoded = (method: Schema.Codec<(typeof names)[number], string>, given: "ties" | "linear") =>
  Stage.make({
    name: "merge",
    version: 1,
    params: { method, weight: Schema.optionalKey(Schema.Finite) },
    output: Artifact.json("one", Schema.Finite),
    run: () => {
      throw new Error("nothing is run")
    },
  })({}, { method: given }).encodedParams

describe("Choice", () => {
  it("leaves keys as they are while every way has version 1", () => {
    for (const name of names) {
      const plain = encoded(Schema.Literals(names), name)
      assert.deepStrictEqual(plain, { method: name })
      assert.deepStrictEqual(encoded(Choice.schema(names, {}), name), plain)
      assert.deepStrictEqual(encoded(Choice.schema(names, { [name]: 1 }), name), plain)
    }
  })

  it("changes the key of a way whose version is raised, and of no other", () => {
    const raised = Choice.schema(names, { ties: 2 })
    assert.deepStrictEqual(encoded(raised, "ties"), { method: "ties@2" })
    assert.deepStrictEqual(encoded(raised, "linear"), { method: "linear" })
    assert.notDeepEqual(encoded(Choice.schema(names, { ties: 3 }), "ties"), encoded(raised, "ties"))
  })

  it("reads what it has written, and no version that is not today's", () => {
    const raised = Choice.schema(names, { ties: 2 })
    assert.strictEqual(Schema.decodeSync(raised)("ties@2"), "ties")
    for (const other of ["ties", "ties@1", "linear@2", "dare"])
      assert.throws(() => Schema.decodeSync(raised)(other), /ties/)
  })

  it("refuses an unknown way by the ways that there are", () => {
    const call = () => encoded(Choice.schema(names, { ties: 2 }), "tie" as "ties")
    assert.throws(call, /Expected "ties" \| "linear"/)
  })
})
