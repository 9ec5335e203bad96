import { assert, describe, it } from "@effect/vitest"
import * as PythonText from "../src/metrics/PythonText.ts"

describe("PythonText", () => {
  it("counts code points and bytes as Python does", () => {
    assert.strictEqual(PythonText.length("a😀é"), 3)
    assert.strictEqual(PythonText.bytes("a😀é"), 7)
  })

  it("splits words and strips at Python's whitespace", () => {
    assert.deepStrictEqual(PythonText.words(" a\u0085b\u3000 c"), ["", "a", "b", "c"])
    assert.strictEqual(PythonText.strip("\u001C x \uFEFF"), "x \uFEFF")
    assert.deepStrictEqual(PythonText.splitEnd("a b \n"), ["a b", " \n"])
  })
})
