import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { type Example, InterpolatedGates, Runtime, type Unit } from "../src/index.ts"
import { hasShared } from "./support/fixtures.ts"
import { distance, example, fixture, openDelta, openModel, readJson, shared, sums } from "./support/models.ts"

interface OracleUnit {
  readonly kind: Unit.UnitKind | "residual"
  readonly layer: number
  readonly index: number
  readonly pathIntegrated: ReadonlyArray<number>
  readonly gateGradient: ReadonlyArray<number>
}

interface Oracle {
  readonly sensitivity: { readonly groups: Readonly<Record<string, ReadonlyArray<number>>> }
  readonly samples: ReadonlyArray<Example.Example>
  readonly quadrature: number
  readonly lossBase: ReadonlyArray<number>
  readonly lossExpert: ReadonlyArray<number>
  readonly units: ReadonlyArray<OracleUnit>
}

const families = ["micro-math", "micro-code", "micro-lang", "realtext-code", "realtext-med", "realtext-zh"]

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Gradients", (it) => {
  const golden = Effect.gen(function* () {
    const { encodeAll } = yield* (yield* openModel(fixture("base"))).tokenizer
    const prompts = yield* encodeAll(sums(4))
    const rows = yield* encodeAll(sums(4).map((prompt, i) => `${prompt} ${37 * i}\n`))
    return rows.map((row, i) => example(row, prompts[i]?.length ?? NaN))
  })

  it.effect("of gates agree with differences of the losses, example by example", () =>
    Effect.gen(function* () {
      const delta = yield* openDelta(fixture("base"), fixture("math"))
      const { shape } = delta
      const examples = yield* golden
      const middle = InterpolatedGates.filled(shape, 0.5)
      const gradients = yield* delta.gradients(examples, middle)
      const losses = gradients.map(({ loss }) => loss)
      assert.isAtMost(distance(losses, yield* delta.losses(examples, middle)), 1e-6)

      const step = 0.02
      const moves: ReadonlyArray<
        readonly [
          move: (value: number) => InterpolatedGates.InterpolatedGates,
          read: (gradient: InterpolatedGates.InterpolatedGates) => number,
        ]
      > = [
        ...(["kvGroup", "queryHead", "kvHead", "mlp"] as const).map((kind) => {
          const unit = { kind, layer: 1, index: kind === "mlp" ? 0 : 2 }
          return [
            (value: number) => InterpolatedGates.with(middle, shape, unit, value),
            (gradient: InterpolatedGates.InterpolatedGates) => InterpolatedGates.along(gradient, shape, unit),
          ] as const
        }),
        [(residual) => ({ ...middle, residual }), ({ residual }) => residual],
      ]
      for (const [move, read] of moves) {
        const after = yield* delta.losses(examples, move(0.5 + step))
        const before = yield* delta.losses(examples, move(0.5 - step))
        const differences = after.map((loss, i) => (loss - before[i]!) / (2 * step))
        const ours = gradients.map(({ gates }) => read(gates))
        assert.isAtMost(distance(ours, differences) / Math.max(...differences.map(Math.abs)), 5e-3)
      }
    }),
  )

  it.effect("of weights are one positive number per layer and example", () =>
    Effect.gen(function* () {
      const model = yield* openModel(fixture("base"))
      const { groups, losses, values } = yield* model.sensitivity(yield* golden)
      assert.deepStrictEqual(groups.slice(0, 2), ["model.embed_tokens.weight", "model.norm.weight"])
      assert.isAtMost(distance(losses, yield* model.losses(yield* golden)), 1e-6)
      assert.isTrue(values.every((row) => row.length === groups.length && row.every((value) => value > 0)))
    }),
  )

  it.effect("of gates are refused where the gates are another model's", () =>
    Effect.gen(function* () {
      const delta = yield* openDelta(fixture("base"), fixture("math"))
      const gates = { ...InterpolatedGates.filled(delta.shape, 1), kvHeads: new Float32Array(3) }
      const error = yield* Effect.flip(delta.gradients(yield* golden, gates))
      assert.strictEqual(error.blame, "input")
      assert.include(error.message, "expected 32, 16, 4 numbers")
    }),
  )

  describe.skipIf(!hasShared)("of gates (needs ../shared)", () => {
    for (const name of families) {
      it.effect(`${name}: gate gradients and path-integrated scores are PyTorch's, and complete`, () =>
        Effect.gen(function* () {
          const oracle = yield* readJson<Oracle>(shared(`oracles/scoring/${name}.json`))
          const [family, expert] = name.split("-")
          const delta = yield* openDelta(
            shared(`models/${family}/base`),
            shared(`models/${family}/${expert}`),
          )
          const { quadrature, samples, units } = oracle
          const of = (gradient: InterpolatedGates.InterpolatedGates, { index, kind, layer: l }: OracleUnit) =>
            kind === "residual"
              ? gradient.residual
              : InterpolatedGates.along(gradient, delta.shape, { kind, layer: l, index })
          /** For each sample, units [units] at the gates' value. */
          const at = (value: number) =>
            Effect.map(delta.gradients(samples, InterpolatedGates.filled(delta.shape, value)), (results) =>
              results.map(({ gates, loss }) => ({ loss, units: units.map((unit) => of(gates, unit)) })),
            )
          /**
           * Within 1e-3 of the sample's largest value over the units of that kind. The residual is one unit and may
           * cancel to less than float32 resolves, so its measure is the largest over all units.
           */
          const compare = (
            ours: ReadonlyArray<ReadonlyArray<number>>,
            theirs: (unit: OracleUnit) => ReadonlyArray<number>,
          ) =>
            ours.forEach((values, sample) => {
              const expected = units.map((unit) => theirs(unit)[sample]!)
              for (const kind of new Set(units.map((unit) => unit.kind))) {
                const own = units.flatMap((unit, u) => (unit.kind === kind ? [u] : []))
                const scale = (kind === "residual" ? expected : own.map((u) => expected[u]!)).reduce(
                  (most, value) => Math.max(most, Math.abs(value)),
                  0,
                )
                const error = Math.max(...own.map((u) => Math.abs(values[u]! - expected[u]!)))
                assert.isAtMost(error / scale, 1e-3, `${kind}, sample ${sample}`)
              }
            })

          const atExpert = yield* at(1)
          assert.isAtMost(
            distance(
              atExpert.map(({ loss }) => loss),
              oracle.lossExpert,
            ),
            1e-5,
          )
          compare(
            atExpert.map((result) => result.units),
            (unit) => unit.gateGradient,
          )

          const points = yield* Effect.forEach(Array.from({ length: quadrature }).keys(), (q) =>
            at((q + 0.5) / quadrature),
          )
          const scores = samples.map((_, sample) =>
            units.map((_unit, u) =>
              points.reduce((sum, point) => sum - point[sample]!.units[u]! / quadrature, 0),
            ),
          )
          compare(scores, (unit) => unit.pathIntegrated)

          // Groups, MLPs and the residual divide the delta, so their scores add up to what the expert gained.
          const divided = units.flatMap(({ kind }, u) =>
            kind === "kvGroup" || kind === "mlp" || kind === "residual" ? [u] : [],
          )
          const total = scores.flatMap((row) => divided.map((u) => row[u]!)).reduce((sum, v) => sum + v, 0)
          const gained = oracle.lossBase.reduce((sum, loss, i) => sum + loss - oracle.lossExpert[i]!, 0)
          assert.isAtMost(Math.abs(total - gained) / Math.abs(gained), 0.02)
        }),
      )
    }
  })

  describe.skipIf(!hasShared)("of weights (needs ../shared)", () => {
    for (const name of families) {
      it.effect(`${name}: the sensitivity of every layer is PyTorch's`, () =>
        Effect.gen(function* () {
          const { samples, sensitivity } = yield* readJson<Oracle>(shared(`oracles/scoring/${name}.json`))
          const [family, expert] = name.split("-")
          const model = yield* openModel(shared(`models/${family}/${expert}`))
          const { groups, values } = yield* model.sensitivity(samples)
          assert.deepStrictEqual(groups.toSorted(), Object.keys(sensitivity.groups).toSorted())
          groups.forEach((group, g) =>
            sensitivity.groups[group]!.forEach((expected, sample) =>
              assert.isAtMost(
                Math.abs(values[sample]![g]! / expected - 1),
                1e-3,
                `${group}, sample ${sample}`,
              ),
            ),
          )
        }),
      )
    }
  })
})
