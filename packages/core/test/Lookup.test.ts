import { at, atOr, entry, entryOr, InvariantError, known, last } from "@hila/core/Lookup"
import { describe, expect, it } from "@effect/vitest"

const dies = (lookup: () => unknown): InvariantError => {
  try {
    lookup()
  } catch (error) {
    if (error instanceof InvariantError) return error
    throw error
  }
  throw new Error("the lookup gave a value")
}

describe("A lookup that cannot fail", () => {
  it("gives what is there, falsy values too", () => {
    expect(at([0, 1], 0)).toBe(0)
    expect(at(Float32Array.of(1, 0), 1)).toBe(0)
    expect(at(BigInt64Array.of(7n), 0)).toBe(7n)
    expect(at(["", "x"], 0)).toBe("")
    expect(at("ab", 1)).toBe("b")
    expect(at([null], 0)).toBe(null)
    expect(at([Number.NaN], 0)).toBeNaN()
    expect(last([1, 0])).toBe(0)
    expect(entry(new Map([[3, false]]), 3)).toBe(false)
    expect(entry({ a: 0 }, "a")).toBe(0)
    expect(known(0, 4)).toBe(0)
  })

  it("dies with place, key and size", () => {
    const error = dies(() => at([1, 2, 3], 3))
    expect(error).toMatchObject({ name: "InvariantError", key: 3, size: 3 })
    expect(error.place).toMatch(/^Lookup\.test\.ts:\d+$/)
    expect(error.message).toMatch(/^a defect of Hila: nothing at 3 of 3, in Lookup\.test\.ts:\d+$/)
    expect("blame" in error).toBe(false)
    expect(dies(() => entry(new Map([["a", 1]]), "b")).message).toContain(
      'nothing at "b" of 1, in Lookup.test.ts:',
    )
    expect(dies(() => known([0][1])).message).toMatch(/^a defect of Hila: nothing, in Lookup\.test\.ts:\d+$/)
    expect(dies(() => known(null, "x")).message).toContain('nothing at "x", in Lookup.test.ts:')
  })

  it.each([
    ["before the first", () => at([1], -1)],
    ["behind the last of a typed array", () => at(Float64Array.of(1), 1)],
    ["between two", () => at([1, 2], 0.5)],
    ["at no number", () => at([1], Number.NaN)],
    ["in a string", () => at("a", 1)],
    ["in a hole", () => at(Array.from<number>({ length: 2 }), 1)],
    ["the last of none", () => last([])],
    ["in a map", () => entry(new Map<string, number>(), "a")],
    ["in a record", () => entry({ a: 1 }, "b")],
    ["in a record, by a name that all objects have", () => entry({ a: 1 }, "toString")],
    ["in a record, by the name of the prototype", () => entry({ a: 1 }, "__proto__")],
    ["of another function", () => known(/a/.exec("b"), "b")],
  ])("dies on what is not there: %s", (_, lookup) => {
    expect(dies(lookup).place).toMatch(/^Lookup\.test\.ts:/)
  })
})

describe("A lookup that may fail", () => {
  it("gives what is there, or the other", () => {
    expect(atOr([0], 0, 5)).toBe(0)
    expect(atOr([0], 1, 5)).toBe(5)
    expect(entryOr(new Map([["a", 0]]), "a", 5)).toBe(0)
    expect(entryOr(new Map<string, number>(), "a", 5)).toBe(5)
    expect(entryOr({}, "toString", 5)).toBe(5)
  })
})
