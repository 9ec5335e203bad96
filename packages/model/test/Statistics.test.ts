import { assert, describe, it } from "@effect/vitest"
import * as Statistics from "../src/data/Statistics.ts"

describe("Statistics", () => {
  it("takes the mean and its standard error from the n-1 variance", () => {
    assert.strictEqual(Statistics.mean([1, 2, 3, 4]), 2.5)
    assert.approximately(Statistics.standardError([1, 2, 3, 4]), Math.sqrt(5 / 3 / 4), 1e-15)
  })

  it("is 0 where nothing can be estimated", () => {
    assert.strictEqual(Statistics.mean([]), 0)
    assert.strictEqual(Statistics.standardError([3]), 0)
  })
})
