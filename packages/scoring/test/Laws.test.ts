/** What has to hold of scores whatever the numbers are. */
import { assert, layer } from "@effect/vitest"
import { type Event, Events, Run, Source, Stage, Store } from "@hila/core"
import {
  CausalModel,
  Checkpoint,
  Example,
  InterpolatedGates,
  InterpolatedModel,
  Runtime,
  Unit,
} from "@hila/model"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as Importance from "../src/Importance.ts"
import * as Stages from "../src/stages.ts"
import { checkpointPath, written } from "./fixtures.ts"

const Live = Layer.mergeAll(Runtime.layerWith({ workers: 2, threads: 1 }), Stage.layerDetached)

const golden = [20, 21, 24].map((answer) => ({
  prompt: "",
  response: "",
  tokens: [1, 51, 28, 223, 20, 35, 28, 223, answer, 201],
  promptLength: 7,
}))

const models = Effect.all({
  base: Checkpoint.open(checkpointPath("base")),
  expert: Checkpoint.open(checkpointPath("math")),
})

const measure = Effect.fnUntraced(function* (
  pair: Record<"base" | "expert", Checkpoint.Checkpoint>,
  scheme: Unit.UnitScheme,
  method: Importance.Method,
) {
  const { rows } = yield* Importance.measure({ ...pair, golden }, { scheme, method, quadrature: 2 })
  return new Map(rows.map(({ unit, values }) => [unit, values]))
})

const assertClose = (
  got: ReadonlyArray<number> | undefined,
  expected: ReadonlyArray<number> | undefined,
  tolerance: number,
  what: string,
) => {
  assert.strictEqual(got?.length, golden.length, what)
  got?.forEach((value, k) => assert.closeTo(value, expected?.[k] ?? NaN, tolerance, what))
}

/** Which group stands in the place of each of four. */
const order = [2, 1, 3, 0]

/** Rows or columns of a matrix [rows, columns] in blocks of `size`, put into another order. */
const permuted = (values: Float32Array, columns: number, axis: 0 | 1, size: number) =>
  values.map((_, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns]
    const from = (place: number) => order[Math.floor(place / size)]! * size + (place % size)
    return values[axis === 0 ? from(row) * columns + column : row * columns + from(column)] ?? NaN
  })

layer(Live)("laws of importance", (it) => {
  it.effect("every unit and the residual set back is the base, in every scheme", () =>
    Effect.gen(function* () {
      const { base, expert } = yield* models
      const [delta, alone] = [yield* InterpolatedModel.open(base, expert), yield* CausalModel.open(base)]
      const own = yield* alone.losses(golden)
      for (const scheme of ["kvGroup", "queryHead", "layer"] as const) {
        const { units } = yield* Unit.partition(expert, scheme)
        const reverted = units.reduce((gates, unit) => InterpolatedGates.with(gates, delta.shape, unit, 0), {
          ...InterpolatedGates.filled(delta.shape, 1),
          residual: 0,
        })
        const losses = yield* delta.losses(golden, reverted)
        assertClose([...losses], [...own], 1e-5, scheme)
      }
    }).pipe(Effect.scoped),
  )

  it.effect("permuting the heads of both models permutes the scores", () =>
    Effect.gen(function* () {
      const { base, expert } = yield* models
      const directory = yield* Stage.scratch
      const shuffled = (checkpoint: Checkpoint.Checkpoint, name: string) =>
        written(checkpoint, join(directory, name), (tensor) =>
          Effect.map(Checkpoint.readFloat32(checkpoint, tensor), (values) => {
            const [, role] = /layers\.1\.self_attn\.([qkvo])_proj/.exec(tensor) ?? []
            const [rows = 0, columns = 0] = checkpoint.tensors.get(tensor)?.shape ?? []
            if (role === undefined) return values
            return permuted(
              values,
              columns,
              role === "o" ? 1 : 0,
              (role === "o" ? columns : rows) / order.length,
            )
          }),
        )
      const pair = { base: yield* shuffled(base, "base"), expert: yield* shuffled(expert, "expert") }
      for (const method of ["revert", "pathIntegrated", "fisherDiagonal"] as const) {
        const plain = yield* measure({ base, expert }, "kvGroup", method)
        const moved = yield* measure(pair, "kvGroup", method)
        for (const [unit, values] of moved) {
          const [, place] = /^layers\.1\.kvGroup\.(\d)$/.exec(unit) ?? []
          const from = place === undefined ? unit : `layers.1.kvGroup.${order[Number(place)]}`
          assertClose(values, plain.get(from), 1e-5, `${method} of ${unit}`)
        }
      }
    }),
  )

  it.effect("a layer is its units: together in losses, their sum along the path", () =>
    Effect.gen(function* () {
      const pair = yield* models
      const whole = yield* measure(pair, "layer", "pathIntegrated")
      const parts = yield* measure(pair, "kvGroup", "pathIntegrated")
      const reverted = yield* measure(pair, "layer", "revert")
      assert.strictEqual(whole.size, 4)
      const delta = yield* InterpolatedModel.open(pair.base, pair.expert)
      const expert = yield* delta.losses(golden, InterpolatedGates.filled(delta.shape, 1))
      const { units } = yield* Unit.partition(pair.expert, "kvGroup")
      for (const [unit, values] of whole) {
        const sum = golden.map((_, k) =>
          [...parts].reduce((total, [id, own]) => (id.startsWith(`${unit}.`) ? total + own[k]! : total), 0),
        )
        assertClose(values, sum, 1e-5, unit)
        const gates = units
          .filter(({ id }) => id.startsWith(`${unit}.`))
          .reduce(
            (all, own) => InterpolatedGates.with(all, delta.shape, own, 0),
            InterpolatedGates.filled(delta.shape, 1),
          )
        const without = yield* delta.losses(golden, gates)
        assertClose(
          reverted.get(unit),
          golden.map((_, k) => without[k]! - expert[k]!),
          1e-5,
          unit,
        )
      }
    }).pipe(Effect.scoped),
  )

  it.effect(
    "second-order scores are not negative, and a key-value head has no output to take the mean of",
    () =>
      Effect.gen(function* () {
        const pair = yield* models
        const diagonal = yield* measure(pair, "queryHead", "fisherDiagonal")
        assert.isTrue([...diagonal.values()].flat().every((value) => value > 0))
        const ablated = yield* measure(pair, "queryHead", "ablateMean")
        for (const [unit, values] of ablated) {
          if (unit.includes("kvHead")) assertClose(values, [0, 0, 0], 1e-5, unit)
        }
        const same = yield* measure({ base: pair.expert, expert: pair.expert }, "layer", "fisherDiagonal")
        assert.isTrue([...same.values()].flat().every((value) => value === 0))
      }),
  )

  it.effect("stopped and started again, scoring goes on where it was and ends with the same scores", () =>
    Effect.gen(function* () {
      const [base, expert] = [
        Checkpoint.source(checkpointPath("base")),
        Checkpoint.source(checkpointPath("math")),
      ]
      const node = Stages.importance(
        { base, expert, golden: Source.value(Example.artifact, golden) },
        { scheme: "kvGroup", method: "ablate" },
      )
      const directory = yield* Stage.scratch
      /** Runs until so many parts are finished, and not a step further; the events tell what was done. */
      const run = Effect.fnUntraced(function* (store: string, parts: number) {
        const enough = yield* Deferred.make<undefined>()
        const events: Array<Event> = []
        const emit = (event: Event) =>
          Effect.suspend(() => {
            events.push(event)
            return event._tag === "Progress" && event.done - event.kept >= parts
              ? Effect.andThen(Deferred.succeed(enough, undefined), Effect.never)
              : Effect.void
          })
        const scores = yield* Run.outputs({ scores: node }).pipe(
          Effect.provideService(Events, { emit }),
          Effect.provide(Store.layer(join(directory, store))),
          Effect.raceFirst(Deferred.await(enough)),
        )
        return { scores, progress: events.filter((event) => event._tag === "Progress") }
      })
      const stopped = yield* run("stopped", 1)
      assert.isUndefined(stopped.scores)
      const { progress, scores } = yield* run("stopped", Infinity)
      assert.isAtLeast(progress.at(-1)?.kept ?? 0, 1)
      assert.isBelow(progress.at(-1)?.kept ?? Infinity, 4)
      assert.deepStrictEqual(scores, (yield* run("calm", Infinity)).scores)
    }),
  )
})
