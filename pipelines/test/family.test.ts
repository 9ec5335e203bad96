/** What a family asks its specialists, by the names that people give. */
import { assert, describe, it } from "@effect/vitest"
import { Node } from "@hila/core"
import * as Family from "../stages/Family.ts"

const given = {
  family: "",
  base: "org/base",
  experts: { math: "org/math" },
  prompts: "",
  column: "prompt",
  golden: 4,
  seed: 0,
}

/** Where a family's prompts come from and how they are read. */
const asked = (
  options: Pick<typeof given, "column"> & { readonly prompts: string | Record<string, string> },
) =>
  Node.stages(Family.of({ ...given, ...options }).golden("score"))
    .filter(({ stage }) => stage.name === "prompts")
    .map((node) => [Node.inputsOf(node).map((file) => file.label), node.encodedParams])

describe("Family", () => {
  it("takes prompts by domain from files and data sets of the Hub, by any column", () => {
    const name = "hf://datasets/org/sums@v1/data/train.parquet"
    assert.deepStrictEqual(asked({ prompts: { math: name }, column: "Q: {{question}}" }), [
      [
        ["datasets/org/sums@v1/data/train.parquet"],
        { name: "train.parquet", domain: "math", prompt: "Q: {{question}}" },
      ],
    ])
  })

  it("takes them from a directory, here or on the Hub, under one key", () => {
    const key = { name: "math.jsonl", domain: "math" }
    assert.deepStrictEqual(asked({ prompts: "some/where", column: "prompt" }), [[["math.jsonl"], key]])
    assert.deepStrictEqual(asked({ prompts: "hf://datasets/org/sums/prompts/", column: "prompt" }), [
      [["datasets/org/sums/prompts/math.jsonl"], key],
    ])
  })

  it("says which domain has no prompts", () => {
    assert.throws(
      () => Family.of({ ...given, prompts: { law: "law.jsonl" } }).golden("score"),
      /there are prompts of law, and an expert of math; give prompts of each/,
    )
  })
})
