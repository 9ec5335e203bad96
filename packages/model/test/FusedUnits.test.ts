import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { join } from "node:path"
import { CausalModel, Checkpoint, InterpolatedGates, InterpolatedModel, Runtime, Unit } from "../src/index.ts"
import { architectures, temporary } from "./support/fixtures.ts"
import { distance, example } from "./support/models.ts"

type Tensors = ReadonlyMap<string, Float32Array>

const readAll = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint) {
  const tensors = new Map<string, Float32Array>()
  for (const name of checkpoint.tensors.keys()) {
    tensors.set(name, yield* Checkpoint.readFloat32(checkpoint, name))
  }
  return tensors
})

const write = Effect.fnUntraced(function* (like: Checkpoint.Checkpoint, tensors: Tensors) {
  return yield* Checkpoint.write(join(yield* temporary, "model"), {
    like,
    tensors: [...like.tensors.values()].map((info) => ({ ...info, dtype: "F32" as const })),
    data: ({ name }, chunk) => chunk(new Uint8Array(tensors.get(name)!.buffer)),
  })
})

/** Every weight moved a little, each differently. */
const moved = (tensors: Tensors): Tensors =>
  new Map(
    [...tensors].map(([name, values]) => [
      name,
      values.map((value, i) => value + 0.05 * Math.sin(i * 1.7 + name.length)),
    ]),
  )

/** The base's weights, with the expert's in some slices. */
const withSlices = (
  { tensors: infos }: Checkpoint.Checkpoint,
  base: Tensors,
  expert: Tensors,
  slices: ReadonlyArray<Unit.Slice>,
): Tensors => {
  const result = new Map([...base].map(([name, values]) => [name, values.slice()]))
  for (const { axis, end, start, tensor } of slices) {
    const columns = infos.get(tensor)!.shape[1] ?? 1
    const values = result.get(tensor)!
    expert.get(tensor)!.forEach((value, i) => {
      const at = axis === 0 ? Math.floor(i / columns) : i % columns
      if (at >= start && at < end) values[i] = value
    })
  }
  return result
}

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("Units in fused tensors", (it) => {
  describe("reference checkpoints", () => {
    // Rows, one projection after another; rows, head by head; columns.
    const names = new Set(["phi3", "gpt-neox", "gpt2"])
    for (const [name, directory] of architectures.filter(([key]) => names.has(key))) {
      it.effect(`${name}: a unit's gate moves the weights in its slices, and only those`, () =>
        Effect.gen(function* () {
          const base = yield* Checkpoint.open(directory)
          const baseTensors = yield* readAll(base)
          const expertTensors = moved(baseTensors)
          const expert = yield* write(base, expertTensors)
          const delta = yield* InterpolatedModel.open(base, expert)
          const zero = InterpolatedGates.filled(delta.shape, 0)
          const examples = [example([3, 14, 15, 9, 25, 35, 8, 37, 32, 38], 1)]
          const from = yield* delta.losses(examples, zero)
          const wanted = ["layers.1.kvGroup.1", "layers.2.queryHead.5", "layers.0.kvHead.1", "layers.1.mlp"]
          for (const scheme of ["kvGroup", "queryHead"] as const) {
            const { units } = yield* Unit.partition(base, scheme)
            const chosen = units.filter(({ id }) => wanted.includes(id))
            for (const unit of scheme === "kvGroup" ? chosen : chosen.filter(({ kind }) => kind !== "mlp")) {
              const mixed = withSlices(base, baseTensors, expertTensors, unit.slices)
              const model = yield* CausalModel.open(yield* write(base, mixed))
              const gated = yield* delta.losses(examples, InterpolatedGates.with(zero, delta.shape, unit, 1))
              assert.isAtMost(distance(yield* model.losses(examples), gated), 2e-5, unit.id)
              assert.isAbove(distance(gated, from), 1e-4, unit.id)
            }
          }
          const all = yield* delta.losses(examples, InterpolatedGates.filled(delta.shape, 1))
          const whole = yield* (yield* CausalModel.open(expert)).losses(examples)
          assert.isAtMost(distance(all, whole), 2e-5, "everything")
        }),
      )
    }
  })
})
