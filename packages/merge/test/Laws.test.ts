/** What must hold of every method, on the micro family (bfloat16): bit for bit unless a tolerance is stated. */
import { assert, describe, it } from "@effect/vitest"
import { adaptiveWeights, fuse, linear, prune, taskArithmetic } from "@hila/merge"
import { Checkpoint } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { experts, micro, random, scratch, table, tensorBytes } from "./support.ts"

const keepAll = { density: 1, dropFraction: 0, gamma: 1, rhoMin: 0.05 }

/** Prunes each expert by scores from `score(expert)` and fuses what is left. */
const pruneAndFuse = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  models: ReadonlyArray<Checkpoint.Checkpoint>,
  directory: string,
  options: {
    readonly density: number
    readonly lambda: number
    readonly residual?: "mean" | "uniform" | "base"
    readonly score?: (expert: number) => (unit: number) => number
    readonly chunk?: number
    readonly scheme?: "kvGroup" | "queryHead" | "layer"
  },
) {
  const { chunk, density, lambda, residual, scheme, score = () => () => 1 } = options
  const importance = yield* Effect.forEach(models, (_, index) => table(base, score(index), scheme))
  const masks = yield* Effect.forEach(models, (expert, index) =>
    prune(
      { base, expert, importance: importance[index]! },
      { ...keepAll, density, chunk },
      join(directory, `mask-${index}.safetensors`),
    ),
  )
  const weights = yield* adaptiveWeights({ importance }, { temperature: 0.7 })
  return yield* fuse(
    { base, experts: models, masks, weights },
    { lambda, residual, chunk },
    join(directory, "fused"),
  )
})

const same = Effect.fnUntraced(function* (a: Checkpoint.Checkpoint, b: Checkpoint.Checkpoint) {
  assert.deepStrictEqual(yield* tensorBytes(a), yield* tensorBytes(b))
})

/** Scores in [0.1, 1.1), other ones for every expert. */
const seeded = (expert: number) => (unit: number) => 0.1 + random(100 * expert + unit)()

describe("laws", () => {
  for (const name of ["math", "code", "lang"] as const) {
    it.effect(`${name} alone with coefficient 1 and density 1 is the result`, () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const base = yield* micro("base")
        const expert = yield* micro(name)
        const arithmetic = yield* taskArithmetic(
          { base, experts: [expert] },
          { lambda: 1 },
          join(directory, "ta"),
        )
        yield* same(arithmetic, expert)
        yield* same(yield* linear({ models: [expert] }, {}, join(directory, "linear")), expert)
        yield* same(yield* pruneAndFuse(base, [expert], directory, { density: 1, lambda: 1 }), expert)
      }),
    )
  }

  it.effect("lambda 0 gives the base", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const models = yield* experts
      yield* same(
        yield* taskArithmetic({ base, experts: models }, { lambda: 0 }, join(directory, "ta")),
        base,
      )
      yield* same(
        yield* pruneAndFuse(base, models, directory, { density: 0.5, lambda: 0, score: seeded }),
        base,
      )
    }),
  )

  it.effect("experts that equal the base give the base", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const models = [base, base, base]
      yield* same(
        yield* taskArithmetic({ base, experts: models }, { lambda: 0.7 }, join(directory, "ta")),
        base,
      )
      yield* same(yield* linear({ models }, {}, join(directory, "linear")), base)
      yield* same(
        yield* pruneAndFuse(base, models, directory, { density: 0.5, lambda: 0.7, score: seeded }),
        base,
      )
    }),
  )

  it.effect("equal shares with density 1 and uniform residual are task arithmetic", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const base = yield* micro("base")
      const models = yield* experts
      const arithmetic = yield* taskArithmetic(
        { base, experts: models },
        { lambda: 0.4 },
        join(directory, "ta"),
      )
      for (const residual of ["uniform", "mean"] as const) {
        const at = yield* scratch
        yield* same(yield* pruneAndFuse(base, models, at, { density: 1, lambda: 0.4, residual }), arithmetic)
      }
    }),
  )

  it.effect(
    "the order of the experts changes nothing but the order of f32 sums: at most one bfloat16 step",
    () =>
      Effect.gen(function* () {
        const base = yield* micro("base")
        const [a, b, c] = yield* experts
        const options = { density: 0.4, lambda: 0.5 } as const
        const forward = yield* pruneAndFuse(base, [a, b, c], yield* scratch, { ...options, score: seeded })
        const backward = yield* pruneAndFuse(base, [c, b, a], yield* scratch, {
          ...options,
          score: (expert) => seeded(2 - expert),
        })
        const [x, y] = [yield* tensorBytes(forward), yield* tensorBytes(backward)]
        let differing = 0
        let scalars = 0
        for (const name of Object.keys(x)) {
          const [p, q] = [bfloats(x[name]!), bfloats(y[name]!)]
          scalars += p.length
          for (let i = 0; i < p.length; i++) {
            if (p[i] === q[i]) continue
            differing += 1
            if (Math.abs(p[i]! - q[i]!) > 1) assert.fail(`${name}[${i}] is more than a step away`)
          }
        }
        assert.isBelow(differing / scalars, 1e-3)
      }),
  )

  it.effect("the size of the chunks changes nothing", () =>
    Effect.gen(function* () {
      const base = yield* micro("base")
      const models = yield* experts
      for (const scheme of ["kvGroup", "queryHead", "layer"] as const) {
        const options = { density: 0.3, lambda: 0.5, score: seeded, scheme }
        const whole = yield* pruneAndFuse(base, models, yield* scratch, options)
        yield* same(yield* pruneAndFuse(base, models, yield* scratch, { ...options, chunk: 8000 }), whole)
      }
    }),
  )

  it.effect(
    "residual base leaves norms and embedding alone, residual mean moves a layer's norms by its mean share",
    () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        const base = yield* micro("base")
        const [a, b] = yield* experts
        const options = { density: 0.5, lambda: 0.5, score: seeded }
        const still = yield* pruneAndFuse(base, [a, b], yield* scratch, { ...options, residual: "base" })
        const moved = yield* pruneAndFuse(base, [a, b], directory, { ...options, residual: "mean" })
        const weights = yield* adaptiveWeights(
          { importance: [yield* table(base, seeded(0)), yield* table(base, seeded(1))] },
          { temperature: 0.7 },
        )
        const own = weights.rows.filter(({ layer }) => layer === 2)
        const mean = [0, 1].map(
          (expert) => own.reduce((sum, row) => sum + 2 * row.weights[expert]!, 0) / own.length,
        )
        for (const [name, share] of [
          ["model.layers.2.input_layernorm.weight", mean],
          ["model.embed_tokens.weight", [1, 1]],
          ["model.norm.weight", [1, 1]],
        ] as const) {
          const [w0, wa, wb] = yield* Effect.forEach([base, a, b], (model) =>
            Checkpoint.readFloat32(model, name),
          )
          assert.deepStrictEqual(yield* Checkpoint.readFloat32(still, name), w0)
          const got = yield* Checkpoint.readFloat32(moved, name)
          for (const [i, value] of got.entries()) {
            const expected = w0![i]! + 0.5 * (share[0] * (wa![i]! - w0![i]!) + share[1] * (wb![i]! - w0![i]!))
            assert.isAtMost(Math.abs(value - expected), Math.abs(expected) * 2 ** -8, name)
          }
        }
      }),
  )
})

/** Bit patterns of bfloat16 values on a line where neighbours differ by 1. */
const bfloats = (hex: string): Int32Array => {
  const bytes = Buffer.from(hex, "hex")
  return Int32Array.from({ length: bytes.length / 2 }, (_, i) => {
    const bits = bytes.readUInt16LE(2 * i)
    return bits < 0x8000 ? bits : 0x8000 - bits
  })
}
