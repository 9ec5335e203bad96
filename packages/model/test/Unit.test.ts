import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { basename } from "node:path"
import { Architecture, Checkpoint, Unit } from "../src/index.ts"
import { architectures, encoders, micro, microBase } from "./support/fixtures.ts"

const schemes = ["kvGroup", "queryHead", "layer"] as const

const small = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 1, maximum }))

/** Any small Llama: grouped heads, any head size, biases, tied or not. */
const Config = Schema.Struct({
  layers: small(3),
  groups: small(4),
  groupSize: small(4),
  halfHead: small(3),
  hidden: small(9),
  intermediate: small(9),
  attentionBias: Schema.Boolean,
  mlpBias: Schema.Boolean,
  tied: Schema.Boolean,
})

/** The headers of a checkpoint with such a config, and one tensor no config asks for. */
const checkpointOf = Effect.fnUntraced(function* (spec: typeof Config.Type) {
  const config = {
    model_type: "llama",
    vocab_size: 11,
    hidden_size: spec.hidden,
    intermediate_size: spec.intermediate,
    num_hidden_layers: spec.layers,
    num_attention_heads: spec.groups * spec.groupSize,
    num_key_value_heads: spec.groups,
    head_dim: 2 * spec.halfHead,
    attention_bias: spec.attentionBias,
    mlp_bias: spec.mlpBias,
    tie_word_embeddings: spec.tied,
  }
  const { expected } = yield* Architecture.resolve(config)
  const tensors = [...expected, ["model.extra", [3]] as const].map(
    ([name, shape]) =>
      [name, { name, dtype: "F32", shape, file: "/weights", offset: 0, byteLength: 0 }] as const,
  )
  return { files: {}, config, tensors: new Map(tensors) } satisfies Checkpoint.Checkpoint
})

/** Adds one to every scalar of a slice; returns their number, or NaN if the slice leaves its tensor. */
const mark = (
  marks: ReadonlyMap<string, Uint8Array>,
  checkpoint: Checkpoint.Checkpoint,
  { axis, end, start, tensor }: Unit.Slice,
): number => {
  const [rows = 0, columns = 1] = checkpoint.tensors.get(tensor)?.shape ?? []
  const scalars = marks.get(tensor) ?? new Uint8Array()
  const within = (i: number) => i >= start && i < end
  if (start < 0 || end > (axis === 0 ? rows : columns)) return Number.NaN
  let count = 0
  for (let i = 0; i < scalars.length; i++) {
    if (!within(axis === 0 ? Math.floor(i / columns) : i % columns)) continue
    scalars[i] = (scalars[i] ?? 0) + 1
    count++
  }
  return count
}

/** Marks every scalar with how many slices and residual tensors it lies in, and compares the sizes said with the marks. */
const check = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, scheme: Unit.UnitScheme) {
  const shape = yield* Architecture.resolve(checkpoint.config)
  const { residual, units } = yield* Unit.partition(checkpoint, scheme)
  const marks = new Map(
    [...checkpoint.tensors].map(([name, info]) => [
      name,
      new Uint8Array(info.shape.reduce((a, b) => a * b, 1)),
    ]),
  )
  for (const { id, size, slices } of units) {
    let marked = 0
    for (const slice of slices) marked += mark(marks, checkpoint, slice)
    assert.strictEqual(size, marked, id)
  }
  const projections = shape.layers.flatMap(({ down, gate, key, output, query, up, value }) =>
    [query, key, value, output, gate ?? up, up, down].flatMap(({ bias, weight }) =>
      bias === undefined || bias === output.bias ? [weight] : [weight, bias],
    ),
  )
  for (const name of projections)
    assert.isTrue(
      marks.get(name)!.every((count) => count === 1),
      `${name} is covered once`,
    )
  assert.deepStrictEqual(
    [...residual],
    [...checkpoint.tensors.keys()].filter((name) => !projections.includes(name)),
  )
  for (const name of residual)
    assert.isTrue(
      marks.get(name)!.every((count) => count === 0),
      `${name} is in no unit`,
    )
  const total =
    units.reduce((sum, { size }) => sum + size, 0) +
    residual.reduce((sum, name) => sum + marks.get(name)!.length, 0)
  assert.strictEqual(total, Checkpoint.parameterCount(checkpoint))
  assert.strictEqual(new Set(units.map(({ id }) => id)).size, units.length)
  return units
})

describe("Unit", () => {
  for (const scheme of schemes) {
    it.effect.prop(
      `${scheme}: any Llama is divided into exact and disjoint units`,
      { spec: Config },
      ({ spec }) => Effect.flatMap(checkpointOf(spec), (checkpoint) => check(checkpoint, scheme)),
      { arbitrary: { runs: 40 } },
    )

    for (const path of micro) {
      it.effect(`${scheme}: the micro family's ${basename(path)} is divided exactly`, () =>
        Effect.flatMap(Checkpoint.open(path), (checkpoint) => check(checkpoint, scheme)),
      )
    }

    describe("reference checkpoints", () => {
      for (const [name, path] of architectures.filter(([directory]) => !encoders.has(directory))) {
        it.effect(`${scheme}: ${name} is divided exactly`, () =>
          Effect.flatMap(Checkpoint.open(path), (checkpoint) => check(checkpoint, scheme)),
        )
      }
    })
  }

  it.effect("names units by layer, kind and index, and puts a group's heads with its keys and values", () =>
    Effect.gen(function* () {
      const { units } = yield* Unit.partition(yield* Checkpoint.open(microBase), "kvGroup")
      assert.deepStrictEqual(
        units.slice(0, 6).map(({ id }) => id),
        [
          "layers.0.kvGroup.0",
          "layers.0.kvGroup.1",
          "layers.0.kvGroup.2",
          "layers.0.kvGroup.3",
          "layers.0.mlp",
          "layers.1.kvGroup.0",
        ],
      )
      const attention = "model.layers.0.self_attn"
      assert.deepStrictEqual(units[1], {
        id: "layers.0.kvGroup.1",
        kind: "kvGroup",
        layer: 0,
        index: 1,
        slices: [
          { tensor: `${attention}.q_proj.weight`, axis: 0, start: 32, end: 64 },
          { tensor: `${attention}.k_proj.weight`, axis: 0, start: 16, end: 32 },
          { tensor: `${attention}.v_proj.weight`, axis: 0, start: 16, end: 32 },
          { tensor: `${attention}.o_proj.weight`, axis: 1, start: 32, end: 64 },
        ],
        size: 128 * (32 + 16 + 16 + 32),
      })
      assert.strictEqual(units[4]?.size, 3 * 128 * 384)
    }),
  )

  it.effect("a scheme by query heads has query heads, then key-value heads, then the MLP", () =>
    Effect.gen(function* () {
      const { units } = yield* Unit.partition(yield* Checkpoint.open(microBase), "queryHead")
      const kinds = units.filter(({ layer }) => layer === 3).map(({ kind }) => kind)
      assert.deepStrictEqual(kinds, [...Array(8).fill("queryHead"), ...Array(4).fill("kvHead"), "mlp"])
      assert.strictEqual(units.length, 4 * 13)
    }),
  )

  it.effect("a scheme by layers has one unit per layer, of its attention and its MLP", () =>
    Effect.gen(function* () {
      const checkpoint = yield* Checkpoint.open(microBase)
      const { residual, units } = yield* Unit.partition(checkpoint, "layer")
      const groups = yield* Unit.partition(checkpoint, "kvGroup")
      assert.deepStrictEqual(
        units.map(({ id, index, kind, layer, size }) => ({ id, index, kind, layer, size })),
        Array.from({ length: 4 }, (_, layer) => ({
          id: `layers.${layer}`,
          index: 0,
          kind: "layer",
          layer,
          size: groups.units.reduce((sum, unit) => (unit.layer === layer ? sum + unit.size : sum), 0),
        })),
      )
      assert.deepStrictEqual(residual, groups.residual)
    }),
  )
})
