import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as PythonText from "../src/metrics/PythonText.ts"

const regex = (pattern: string) => Result.getOrThrow(PythonText.regex(pattern))

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

  it.each([
    ["(?s).*#### ", "step\nstep\n#### 7", "7"],
    ["\\.$", "7.\n", "7\n"],
    ["\\.\\Z", "7.\n", "7.\n"],
    ["\\Aa", "aa", "a"],
    ["(?P<sign>-)(?i:X)", "-x", ""],
    ["[$]", "$5", "5"],
  ])("removes %s from %j as Python's re.sub does", (pattern, text, rest) => {
    assert.strictEqual(text.replaceAll(regex(pattern), ""), rest)
  })

  it("finds whole matches, a group, or all groups, as re.findall does", () => {
    assert.deepStrictEqual(PythonText.findAll(regex("\\d"), "1 2"), [["1"], ["2"]])
    assert.deepStrictEqual(PythonText.findAll(regex("#(\\d)"), "#1 #2"), [["1"], ["2"]])
    assert.deepStrictEqual(PythonText.findAll(regex("(a)|(b)"), "ab"), [
      ["a", ""],
      ["", "b"],
    ])
  })

  it("says what is wrong with an expression", () => {
    assert.isTrue(Result.isFailure(PythonText.regex("(")))
  })
})
