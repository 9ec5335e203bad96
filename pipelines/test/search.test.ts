import { assert, describe, it } from "@effect/vitest"
import * as Search from "../stages/Search.ts"

/** Runs a search to its end and returns what was tried, with its cost. */
const run = (search: Search.Search, cost: (setting: Search.Setting) => number) => {
  const tried: Array<{ readonly setting: Search.Setting; readonly cost: number }> = []
  let round = search.first
  while (round.length > 0) {
    const results = round.map((setting) => ({ setting, cost: cost(setting) }))
    tried.push(...results)
    round = search.next(results.map((each) => each.cost))
  }
  return tried
}

const best = (tried: ReturnType<typeof run>) => tried.toSorted((a, b) => a.cost - b.cost)[0]!

describe("Search", () => {
  it("tries every combination of a grid once, ranges in even steps", () => {
    const tried = run(
      Search.make({ a: [1, 2], b: { least: 0, greatest: 1 } }, { _tag: "grid", steps: 3 }),
      () => 0,
    )
    assert.deepStrictEqual(
      tried.map(({ setting }) => setting),
      [1, 2].flatMap((a) => [0, 0.5, 1].map((b) => ({ a, b }))),
    )
  })

  it("draws at random by seed, each number once in every part of its range", () => {
    const domains = { a: { least: 0, greatest: 1 }, b: { least: 10, greatest: 20 } }
    const of = (seed: number) => Search.make(domains, { _tag: "random", trials: 10, seed }).first
    assert.deepStrictEqual(of(1), of(1))
    assert.notDeepEqual(of(1), of(2))
    assert.deepStrictEqual(
      of(3)
        .map(({ a = 0 }) => Math.floor(10 * a))
        .toSorted((x, y) => x - y),
      [...Array(10).keys()],
    )
    assert.isTrue(of(3).every(({ b = 0 }) => b >= 10 && b < 20))
  })

  it("refines the number of the best choices and finds a minimum far finer than its grid", () => {
    const cost = ({ lambda = 0, variant = 0 }: Search.Setting) =>
      (lambda - 0.437) ** 2 + (lambda - 0.437) ** 3 / 3 + Math.abs(variant - 2)
    const tried = run(
      Search.make(
        { variant: [0, 1, 2, 3], lambda: { least: 0, greatest: 1.2 } },
        { _tag: "refine", number: "lambda", trials: 30, steps: 3 },
      ),
      cost,
    )
    assert.lengthOf(tried, 30)
    assert.strictEqual(best(tried).setting["variant"], 2)
    assert.isAtMost(Math.abs(best(tried).setting["lambda"]! - 0.437), 2e-3)
  })

  it("refines towards a border and stays inside", () => {
    const tried = run(
      Search.make(
        { variant: [0], lambda: { least: 0, greatest: 1 } },
        { _tag: "refine", number: "lambda", trials: 12, steps: 4 },
      ),
      ({ lambda = 0 }) => -lambda,
    )
    assert.isAbove(best(tried).setting["lambda"]!, 0.98)
    assert.isTrue(tried.every(({ setting }) => setting["lambda"]! >= 0 && setting["lambda"]! <= 1))
  })

  it("asks for nothing twice where the best lies on the border", () => {
    const numbers = { variant: [0], lambda: { least: 0, greatest: 1 } } as const
    const method = { _tag: "refine", number: "lambda", trials: 10, steps: 2 } as const
    const tried = run(Search.make(numbers, method), ({ lambda = 0 }) => (lambda === 0 ? 0 : 1 + lambda))
    assert.strictEqual(best(tried).setting["lambda"], 0)
    assert.lengthOf(new Set(tried.map(({ setting }) => setting["lambda"])), 10)
  })

  it("evolves towards a minimum of several numbers, the same whenever it is repeated", () => {
    const domains = Object.fromEntries(["a", "b", "c"].map((name) => [name, { least: -1, greatest: 1 }]))
    const cost = ({ a = 0, b = 0, c = 0 }: Search.Setting) =>
      (a - 0.3) ** 2 + (b + 0.5) ** 2 + (c - 0.1) ** 2 + 0.5 * a * b
    const search = () => Search.make(domains, { _tag: "evolution", trials: 120, seed: 4 })
    const tried = run(search(), cost)
    assert.lengthOf(tried, 120)
    assert.deepStrictEqual(run(search(), cost), tried)
    const lowest = run(Search.make(domains, { _tag: "grid", steps: 41 }), cost)
    assert.isAtMost(best(tried).cost - best(lowest).cost, 0.01)
    assert.isTrue(tried.every(({ setting }) => Object.values(setting).every((value) => Math.abs(value) <= 1)))
  })
})
