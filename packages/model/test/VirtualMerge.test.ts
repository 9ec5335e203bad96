import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { Checkpoint, Dtype, LayerGroup, Runtime, Unit, UnitGroup, VirtualMerge } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"
import { distance, example, fixture, openModel, sums } from "./support/models.ts"

const names = ["math", "code"] as const

layer(Runtime.layerWith({ workers: 1, threads: 2 }))("VirtualMerge", (it) => {
  const checkpoints = Effect.all([
    Checkpoint.open(fixture("base")),
    ...names.map((n) => Checkpoint.open(fixture(n))),
  ])

  const open = Effect.fnUntraced(function* (groupOf: VirtualMerge.Grouping) {
    const [base, ...experts] = yield* checkpoints
    return yield* VirtualMerge.open(base, experts, groupOf)
  })

  const examples = Effect.gen(function* () {
    const { encodeAll } = yield* (yield* openModel(fixture("base"))).tokenizer
    const prompts = yield* encodeAll(sums(6))
    const rows = yield* encodeAll(sums(6).map((prompt, i) => `${prompt} ${37 * i}\n`))
    return rows.map((row, i) => example(row, prompts[i]?.length ?? NaN))
  })

  /** Coefficients that differ in every entry, 0.1 … 0.9. */
  const lambdas = (count: number) => Float32Array.from({ length: count }, (_, i) => 0.1 + ((7 * i) % 9) / 10)

  /** The same merge, written: base + Σ λ · (expert − base) in float32. */
  const write = Effect.fnUntraced(function* (lambda: (expert: number, tensor: string) => number) {
    const [base, ...experts] = yield* checkpoints
    const directory = `${yield* temporary}/merged`
    yield* Checkpoint.write(directory, {
      like: base,
      tensors: [...base.tensors.values()].map(({ name, shape }) => ({ name, shape, dtype: "F32" as const })),
      data: Effect.fnUntraced(function* ({ name }, put) {
        const from = yield* Checkpoint.readFloat32(base, name)
        const to = yield* Effect.forEach(experts, (expert) => Checkpoint.readFloat32(expert, name))
        yield* put(
          Dtype.fromFloat32(
            from.map((value, i) => to.reduce((sum, w, k) => sum + lambda(k, name) * (w[i]! - value), value)),
            "F32",
          ),
        )
      }),
    })
    return yield* openModel(directory)
  })

  /** The base with one unit of the first expert, written. */
  const writeUnit = Effect.fnUntraced(function* ({ slices }: Unit.Unit) {
    const [base, expert] = yield* checkpoints
    const directory = `${yield* temporary}/merged`
    yield* Checkpoint.write(directory, {
      like: base,
      tensors: [...base.tensors.values()],
      data: Effect.fnUntraced(function* ({ name, shape: [, columns = 1] }, put) {
        const values = yield* Checkpoint.readFloat32(base, name)
        const others = yield* Checkpoint.readFloat32(expert!, name)
        const within = (at: number) =>
          slices.some(({ axis, end, start, tensor }) => {
            const place = axis === 0 ? Math.floor(at / columns) : at % columns
            return tensor === name && place >= start && place < end
          })
        yield* put(
          Dtype.fromFloat32(
            values.map((value, i) => (within(i) ? others[i]! : value)),
            "BF16",
          ),
        )
      }),
    })
    return yield* openModel(directory)
  })

  it.effect("has the losses of the merge that is written, coefficients by layer", () =>
    Effect.gen(function* () {
      const merge = yield* open(LayerGroup.of)
      assert.deepStrictEqual(merge.groups.toSorted(), [
        "model.embed_tokens.weight",
        "model.layers.0",
        "model.layers.1",
        "model.layers.2",
        "model.layers.3",
        "model.norm.weight",
      ])
      const values = lambdas(names.length * merge.groups.length)
      const written = yield* write(
        (expert, tensor) =>
          values[expert * merge.groups.length + merge.groups.indexOf(LayerGroup.of(tensor))]!,
      )
      const golden = yield* examples
      const expected = yield* written.losses(golden)
      assert.isAtMost(distance(yield* merge.losses(golden, values), expected), 1e-5)
      const base = yield* merge.losses(golden, new Float32Array(values.length))
      assert.isAtMost(distance(base, yield* (yield* openModel(fixture("base"))).losses(golden)), 1e-5)
      assert.isAbove(distance(base, expected), 1e-2)
    }),
  )

  it.effect("has the gradient that differences of its losses show, coefficients by layer", () =>
    Effect.gen(function* () {
      const merge = yield* open(LayerGroup.of)
      const golden = yield* examples
      const values = lambdas(names.length * merge.groups.length)
      const { gradient, losses } = yield* merge.gradients(golden, values)
      assert.isAtMost(distance(losses, yield* merge.losses(golden, values)), 1e-6)
      const step = 0.01
      const differences = yield* Effect.forEach(values.keys(), (i) =>
        Effect.gen(function* () {
          const mean = (by: number) =>
            Effect.map(
              merge.losses(golden, values.with(i, values[i]! + by)),
              (row) => row.reduce((sum, loss) => sum + loss, 0) / row.length,
            )
          return ((yield* mean(step)) - (yield* mean(-step))) / (2 * step)
        }),
      )
      const scale = Math.max(...differences.map(Math.abs))
      assert.isAtMost(distance(gradient, differences) / scale, 2e-3)
    }),
  )

  it.effect("takes a coefficient per head and MLP, and moves what belongs to none by layer", () =>
    Effect.gen(function* () {
      const [base] = yield* checkpoints
      const golden = yield* examples
      for (const scheme of ["kvGroup", "queryHead"] as const) {
        const { units } = yield* Unit.partition(base, scheme)
        const merge = yield* open(UnitGroup.of(units))
        assert.strictEqual(merge.groups.length, units.length + 6)
        const even = new Float32Array(2 * merge.groups.length).fill(0.4)
        const layers = yield* open(LayerGroup.of)
        const expected = yield* layers.losses(golden, new Float32Array(2 * layers.groups.length).fill(0.4))
        assert.isAtMost(distance(yield* merge.losses(golden, even), expected), 1e-6)
        // One expert's unit alone is that unit of the delta model.
        const unit = units.find(({ kind, layer }) => kind !== "mlp" && layer === 2)!
        const one = new Float32Array(2 * merge.groups.length)
        one[merge.groups.indexOf(unit.id)] = 1
        const written = yield* writeUnit(unit)
        assert.isAtMost(distance(yield* merge.losses(golden, one), yield* written.losses(golden)), 1e-5)
      }
    }),
  )

  it.effect("has the gradient that differences of losses and of entropies show, coefficients by head", () =>
    Effect.gen(function* () {
      const [base] = yield* checkpoints
      const { units } = yield* Unit.partition(base, "kvGroup")
      const merge = yield* open(UnitGroup.of(units))
      const golden = yield* examples
      const values = lambdas(names.length * merge.groups.length)
      const { gradient } = yield* merge.gradients(golden, values)
      const entropy = yield* merge.entropies(golden, values)
      const step = 0.02
      const mean = (row: Float64Array) => row.reduce((sum, value) => sum + value, 0) / row.length
      const probes = [0, 3, 7, 22, merge.groups.length, merge.groups.length + 12]
      for (const i of probes) {
        const at = (by: number) => values.with(i, values[i]! + by)
        const loss = (by: number) => Effect.map(merge.losses(golden, at(by)), mean)
        const unsure = (by: number) =>
          Effect.map(merge.entropies(golden, at(by)), ({ entropies }) => mean(entropies))
        const slope = ((yield* loss(step)) - (yield* loss(-step))) / (2 * step)
        const other = ((yield* unsure(step)) - (yield* unsure(-step))) / (2 * step)
        assert.isAtMost(Math.abs(gradient[i]! - slope), 2e-3 * Math.max(...gradient.map(Math.abs)))
        assert.isAtMost(
          Math.abs(entropy.gradient[i]! - other),
          2e-3 * Math.max(...entropy.gradient.map(Math.abs)),
        )
      }
    }),
  )

  it.effect("measures the entropy of what is predicted, whatever the response is", () =>
    Effect.gen(function* () {
      const merge = yield* open(() => "all")
      const golden = yield* examples
      const { entropies } = yield* merge.entropies(golden, new Float32Array(2))
      const model = yield* openModel(fixture("base"))
      const logits = yield* model.logits(golden.map(({ tokens }) => tokens))
      const expected = golden.map(({ promptLength, tokens }, i) => {
        const rows = tokens.slice(promptLength).map((_, j) => {
          const at = (promptLength - 1 + j) * model.shape.vocabSize
          const row = Array.from(logits[i]!.subarray(at, at + model.shape.vocabSize))
          const total = row.reduce((sum, value) => sum + Math.exp(value), 0)
          return row.reduce((sum, value) => sum - (Math.exp(value) / total) * (value - Math.log(total)), 0)
        })
        return rows.reduce((sum, value) => sum + value, 0) / rows.length
      })
      assert.isAtMost(distance(entropies, expected), 1e-4)
    }),
  )

  it.effect("takes coefficients by tensor, and one for all", () =>
    Effect.gen(function* () {
      const golden = yield* examples
      const [byTensor, whole] = [yield* open((tensor) => tensor), yield* open(() => "all")]
      assert.lengthOf(whole.groups, 1)
      const of = (count: number) =>
        Float32Array.from({ length: 2 * count }, (_, i) => (i < count ? 0.3 : 0.6))
      const one = yield* whole.gradients(golden, of(1))
      const many = yield* byTensor.gradients(golden, of(byTensor.groups.length))
      assert.isAtMost(distance(one.losses, many.losses), 1e-6)
      const summed = names.map((_, k) =>
        many.gradient
          .subarray(k * byTensor.groups.length, (k + 1) * byTensor.groups.length)
          .reduce((sum, value) => sum + value, 0),
      )
      assert.isAtMost(distance(one.gradient, summed), 1e-5)
    }),
  )

  it.effect("refuses coefficients of another number, no experts, and an expert of another shape", () =>
    Effect.gen(function* () {
      const merge = yield* open(() => "all")
      const wrong = yield* Effect.flip(merge.losses(yield* examples, new Float32Array(3)))
      assert.strictEqual(wrong.blame, "input")
      assert.include(wrong.message, "lambdas: expected 2 experts × 1 groups, got 3 numbers")

      const [base] = yield* checkpoints
      const none = yield* Effect.flip(VirtualMerge.open(base, [], () => "all"))
      assert.include(none.message, "expected at least one expert")
      const config = { ...base.config, rope_parameters: { rope_theta: 500000, rope_type: "default" } }
      const other = yield* Effect.flip(VirtualMerge.open(base, [{ ...base, config }], () => "all"))
      assert.include(other.message, "is no fine-tune of")
    }),
  )
})
