import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import * as Gold from "./support/Gold.ts"
import * as FunctionalCorrectness from "../src/code/FunctionalCorrectness.ts"
import * as PassAtK from "../src/code/PassAtK.ts"
import * as Sandbox from "../src/code/Sandbox.ts"

const shared = fileURLToPath(new URL("../../../../shared/", import.meta.url))
const hasShared = existsSync(shared)

/** Every sixteenth problem: all of them take minutes, and `npm run gold` runs them. */
const sixteenth = <T>(items: ReadonlyArray<T>) => items.filter((_, index) => index % 16 === 0)

describe.skipIf(!hasShared)("gold solutions through the sandbox (needs ../shared)", () => {
  for (const { exceptions = {}, name, problems } of Gold.sets) {
    it.effect(
      `accepts every sixteenth of ${name}`,
      () =>
        Effect.gen(function* () {
          const sandbox = yield* Sandbox.make
          const some = sixteenth(problems(shared)).filter(([id]) => !Object.hasOwn(exceptions, id))
          assert.deepStrictEqual(yield* Gold.failures(sandbox, some), [])
        }),
      120_000,
    )
  }

  it.effect("knows the two exceptions of MBPP, of which one can never be accepted", () =>
    Effect.gen(function* () {
      const set = Gold.sets.find(({ exceptions }) => exceptions !== undefined)
      assert.deepStrictEqual(Object.keys(set?.exceptions ?? {}), ["123", "367"])
      const [, problem] = set?.problems(shared).find(([id]) => id === "367") ?? []
      assert.deepStrictEqual(yield* Gold.failures(yield* Sandbox.make, [["367", problem!]]), ["367"])
    }),
  )
})

describe("FunctionalCorrectness", () => {
  it.effect("tells right candidates from wrong ones, in their order", () =>
    Effect.gen(function* () {
      const sandbox = yield* Sandbox.make
      const right = "def f(x):\n  return x + 1"
      const wrong = "def f(x):\n  return x"
      const candidates = [right, wrong, right, "def f(x:"]
      const verdicts = yield* FunctionalCorrectness.judge(sandbox, {
        language: "python",
        candidates,
        tests: "assert f(1) == 2",
      })
      assert.deepStrictEqual(verdicts, [true, false, true, false])
      assert.strictEqual(FunctionalCorrectness.passAtK(verdicts, 1), 0.5)
    }),
  )
})

describe("PassAtK", () => {
  /** 1 − C(n−c, k) / C(n, k), by counting subsets. */
  const byCounting = (samples: number, correct: number, k: number): number => {
    let subsets = 0
    let hits = 0
    for (let set = 0; set < 2 ** samples; set++) {
      const members = Array.from({ length: samples }, (_, index) => index).filter(
        (index) => (set >> index) & 1,
      )
      if (members.length !== k) continue
      subsets++
      if (members.some((index) => index < correct)) hits++
    }
    return hits / subsets
  }

  it("equals the share of k-subsets with a right sample", () => {
    for (let samples = 1; samples <= 8; samples++) {
      for (let correct = 0; correct <= samples; correct++) {
        for (let k = 1; k <= samples; k++) {
          assert.closeTo(PassAtK.estimate({ samples, correct, k }), byCounting(samples, correct, k), 1e-12)
        }
      }
    }
  })
})
