import { assert, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { CausalModel, Checkpoint, Runtime, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { join } from "node:path"
import * as Conflict from "../src/Conflict.ts"
import * as Stages from "../src/stages.ts"
import * as Statistics from "../src/Statistics.ts"
import { checkpointPath, written } from "./fixtures.ts"

const Live = Layer.mergeAll(Runtime.layerWith({ workers: 2, threads: 1 }), Stage.layerDetached)

const golden = [20, 21, 24].map((answer) => ({
  prompt: "",
  response: "",
  tokens: [1, 51, 28, 223, 20, 35, 28, 223, answer, 201],
  promptLength: 7,
}))

const open = (member: string) => Checkpoint.open(checkpointPath(member))

/** Σ coefficient · tensor over some checkpoints, scalar by scalar. */
const mixed = (terms: ReadonlyArray<readonly [Checkpoint.Checkpoint, number]>) =>
  Effect.fnUntraced(function* (name: string) {
    const parts = yield* Effect.forEach(terms, ([checkpoint]) => Checkpoint.readFloat32(checkpoint, name))
    return Float32Array.from(parts[0] ?? [], (_, at) =>
      parts.reduce((sum, part, term) => sum + (terms[term]?.[1] ?? 0) * (part[at] ?? 0), 0),
    )
  })

const losses = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint) {
  const model = yield* CausalModel.open(checkpoint)
  return yield* model.losses(golden)
}, Effect.scoped)

layer(Live)("conflict", (it) => {
  it.effect(
    "is 0 where the merged model is the expert, and all of the importance where it has none of it",
    () =>
      Effect.gen(function* () {
        const [base, expert] = [yield* open("base"), yield* open("math")]
        const importance = yield* Stages.importance.run(
          { base, expert, golden },
          { scheme: "kvGroup", method: "revert" },
        )
        const same = yield* Stages.conflict.run(
          { base, expert, merged: expert, golden, importance: [importance] },
          { scheme: "kvGroup", coefficient: 1 },
        )
        for (const { conflict, own, unit } of same.rows) {
          assert.isTrue(
            conflict.values.every((value) => Math.abs(value) < 1e-5),
            unit,
          )
          assert.deepStrictEqual(own.values, importance.rows.find((row) => row.unit === unit)?.values)
        }
        const none = yield* Stages.conflict.run(
          { base, expert, merged: base, golden, importance: [importance] },
          { scheme: "kvGroup", coefficient: 0 },
        )
        for (const { conflict, merged, own } of none.rows) {
          assert.deepStrictEqual(merged.score, 0)
          assert.deepStrictEqual(conflict, own)
        }
      }),
  )

  it.effect("agrees with models that are written out, unit by unit", () =>
    Effect.gen(function* () {
      const [base, expert, other] = [yield* open("base"), yield* open("math"), yield* open("code")]
      const scratch = yield* Stage.scratch
      // base + 0.6 · (math − base) + 0.4 · (code − base)
      const terms = [
        [expert, 0.6],
        [other, 0.4],
      ] as const
      const merged = yield* written(base, join(scratch, "merged"), mixed(terms))
      const { units } = yield* Unit.partition(expert, "layer")
      const found = yield* Conflict.measure(
        { base, expert, merged, golden },
        { scheme: "layer", coefficient: units.map(() => 0.6) },
      )
      assert.strictEqual(found.rows.length, 4)
      const [inExpert, inMerged] = [yield* losses(expert), yield* losses(merged)]
      for (const at of [0, 3]) {
        const inside = new Set(units[at]?.slices.map(({ tensor }) => tensor))
        const removed = (
          from: Checkpoint.Checkpoint,
          back: ReadonlyArray<readonly [Checkpoint.Checkpoint, number]>,
          name: string,
        ) =>
          Effect.flatMap(
            written(base, join(scratch, `${name}-${at}`), (tensor) =>
              mixed(inside.has(tensor) ? back : [[from, 1]])(tensor),
            ),
            losses,
          )
        const ownLoss = yield* removed(expert, [[base, 1]], "own")
        const mergedLoss = yield* removed(
          merged,
          [
            [merged, 1],
            [expert, -0.6],
            [base, 0.6],
          ],
          "rest",
        )
        const row = found.rows[at]!
        golden.forEach((_, k) => {
          const [own, rest] = [ownLoss[k]! - inExpert[k]!, mergedLoss[k]! - inMerged[k]!]
          assert.closeTo(row.own.values[k]!, own, 1e-5)
          assert.closeTo(row.merged.values[k]!, rest, 1e-5)
          assert.closeTo(row.conflict.values[k]!, own - rest, 1e-5)
        })
        assert.closeTo(row.conflict.standardError, Statistics.standardError(row.conflict.values), 1e-12)
      }
      assert.match(Conflict.artifact.summary(found), /^\d of 4 units in conflict, 3 examples$/)
    }),
  )

  it.effect("answers what does not fit together with one line", () =>
    Effect.gen(function* () {
      const [base, expert] = [yield* open("base"), yield* open("math")]
      const models = { base, expert, merged: base, golden }
      const scores = { scheme: "layer", method: "ablate", examples: 3, rows: [] } as const
      const refusal = (input: Partial<Conflict.Input>, coefficient: Conflict.Options["coefficient"] = 1) =>
        Effect.map(
          Effect.flip(Conflict.measure({ ...models, ...input }, { scheme: "layer", coefficient })),
          ({ message }) => message,
        )
      assert.deepStrictEqual(
        [
          yield* refusal({}, [1, 1]),
          yield* refusal({ importance: scores }),
          yield* refusal({ importance: { ...scores, method: "revert" } }),
          yield* refusal({ golden: [] }),
        ],
        [
          "conflict: there are 4 units and 2 coefficients; give one, or one per unit",
          "conflict: the given importance was measured by ablate; give scores by revert, or none",
          "conflict: the given importance is of other units; give scores of this expert and scheme, or none",
          "conflict: needs 2 golden examples or more for a standard error, got 0; give more questions",
        ],
      )
    }),
  )
})
