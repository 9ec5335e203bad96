import { assert, describe, it } from "@effect/vitest"
import { adaptiveWeights, fuse, type FuseParams, linear, type UnitWeights } from "@hila/merge"
import { merge } from "@hila/merge/Recipe"
import { Checkpoint, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { parse } from "yaml"
import { bytesOf, micro, scratch, table, tensorBytes } from "./support.ts"

const inputs = Effect.gen(function* () {
  const base = yield* micro("base")
  const importance = [yield* table(base, (at) => at % 3), yield* table(base, (at) => (at + 1) % 3)]
  return { base, experts: [yield* micro("math"), yield* micro("code")], importance }
})

describe("shares of experts", () => {
  it.effect("are a softmax, shares of the importance, or all to the winner", () =>
    Effect.gen(function* () {
      const { importance } = yield* inputs
      const of = (form: "share" | "winner") =>
        Effect.map(adaptiveWeights({ importance }, { temperature: 1, form }), ({ rows }) =>
          rows.slice(0, 3).map(({ weights }) => weights),
        )
      // Importance of the first three units: 0 and 1, 1 and 2, 2 and 0.
      assert.deepStrictEqual(yield* of("share"), [
        [0, 1],
        [1 / 3, 2 / 3],
        [1, 0],
      ])
      assert.deepStrictEqual(yield* of("winner"), [
        [0, 1],
        [0, 1],
        [1, 0],
      ])
      const none = yield* table(yield* micro("base"), () => 0)
      const equal = yield* adaptiveWeights({ importance: [none, none] }, { temperature: 1, form: "share" })
      assert.deepStrictEqual(equal.rows[0]!.weights, [0.5, 0.5])
    }),
  )
})

describe("fusion", () => {
  const fused = Effect.fnUntraced(function* (params: Omit<FuseParams, "lambda">) {
    const { base, experts, importance } = yield* inputs
    const weights = yield* adaptiveWeights({ importance }, { temperature: 1 })
    const result = yield* fuse(
      { base, experts, masks: [], weights },
      { lambda: 0.5, ...params },
      join(yield* scratch, "fused"),
    )
    return { base, experts, weights, result }
  })

  it.effect("with sign election adds up what agrees with the weighted sum, inside units", () =>
    Effect.gen(function* () {
      const { base, experts, result, weights } = yield* fused({ signElection: true })
      const name = "model.layers.1.mlp.up_proj.weight"
      const shares = weights.rows.find(({ unit }) => unit === "layers.1.mlp")!.weights
      const read = (model: Checkpoint.Checkpoint) => Checkpoint.readFloat32(model, name)
      const [from, got] = [yield* read(base), yield* read(result)]
      const values = yield* Effect.forEach(experts, read)
      let conflicts = 0
      for (const [i, start] of from.entries()) {
        const parts = values.map((of, t) => 2 * shares[t]! * (of[i]! - start))
        const sum = parts[0]! + parts[1]!
        const agreeing = parts.filter((part) => (sum >= 0 ? part > 0 : part < 0))
        if (agreeing.length === 1 && parts.every((part) => part !== 0)) conflicts += 1
        const expected = start + 0.5 * agreeing.reduce((total, part) => total + part, 0)
        assert.isAtMost(Math.abs(got[i]! - expected), Math.abs(expected) / 200 + 1e-6)
      }
      assert.isAbove(conflicts, 100)
      const plain = yield* fused({})
      const [a, b] = [yield* tensorBytes(result), yield* tensorBytes(plain.result)]
      assert.strictEqual(a["model.norm.weight"], b["model.norm.weight"])
    }),
  )

  it.effect("takes a λ per unit: 0 leaves the unit to the base, and no other", () =>
    Effect.gen(function* () {
      const { base, result } = yield* fused({ unitLambda: { "layers.1.mlp": 0 }, residual: "uniform" })
      const plain = yield* fused({ residual: "uniform" })
      const [got, expected] = [yield* tensorBytes(result), yield* tensorBytes(plain.result)]
      const untouched = yield* tensorBytes(base)
      const { units } = yield* Unit.partition(base, "kvGroup")
      const own = new Set(units.find(({ id }) => id === "layers.1.mlp")!.slices.map(({ tensor }) => tensor))
      for (const name of Object.keys(got))
        assert.strictEqual(got[name], own.has(name) ? untouched[name] : expected[name], name)
      const error = yield* Effect.flip(fused({ unitLambda: { "layers.9.mlp": 0 } }))
      assert.include(
        error.message,
        "fuse: unitLambda: there is no unit layers.9.mlp; a unit is called, for example, ",
      )
    }),
  )

  it.effect("reads weights that are coefficients as they are", () =>
    Effect.gen(function* () {
      const { base, experts, result, weights } = yield* fused({})
      const rows = weights.rows.map((row) => ({ ...row, weights: row.weights.map((weight) => 2 * weight) }))
      const coefficients: UnitWeights.UnitWeights = { ...weights, meaning: "coefficient", rows }
      const same = yield* fuse(
        { base, experts, masks: [], weights: coefficients },
        { lambda: 0.5 },
        join(yield* scratch, "same"),
      )
      assert.deepStrictEqual(yield* tensorBytes(same), yield* tensorBytes(result))
    }),
  )
})

describe("the data sets that inputs were trained on", () => {
  it.effect("are in the card of what is merged from them, each once", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const withCard = Effect.fnUntraced(function* (name: "math" | "code", trainedOn: ReadonlyArray<string>) {
        const path = join(directory, name)
        const { files } = yield* micro(name)
        yield* Effect.promise(() => mkdir(path))
        for (const [file, from] of Object.entries(files)) {
          const bytes = yield* bytesOf(from)
          if (file !== "README.md") yield* Effect.promise(() => writeFile(join(path, file), bytes))
        }
        const card = `---\nlicense: mit\ntrainedOn: ${JSON.stringify(trainedOn)}\n---\n# ${name}\n`
        yield* Effect.promise(() => writeFile(join(path, "README.md"), card))
        return yield* Checkpoint.open(path)
      })
      const models = [yield* withCard("math", ["gsm8k", "c4"]), yield* withCard("code", ["mbpp", "c4"])]
      const cardOf = (path: string) =>
        Effect.promise(async () => {
          const [, matter = ""] =
            /^---\n(.*?)\n---/s.exec(await readFile(join(path, "README.md"), "utf8")) ?? []
          return (parse(matter) as { readonly trainedOn?: unknown }).trainedOn
        })
      yield* linear({ models }, {}, join(directory, "a"))
      assert.deepStrictEqual(yield* cardOf(join(directory, "a")), ["gsm8k", "c4", "mbpp"])
      yield* merge({ models }, { method: "linear" }, join(directory, "b"), { digests: false })
      assert.deepStrictEqual(yield* cardOf(join(directory, "b")), ["gsm8k", "c4", "mbpp"])
    }),
  )
})
