/**
 * Merged models: the checkpoint of a choice that tuning made, and what a pipeline calls to get from task vectors to it.
 *
 * W = base + Σ c · (direction − base) in float32, one rounding to the base's dtype: the virtual merge that was tuned,
 * written.
 */
import { Stage } from "@hila/core"
import { at, known } from "@hila/core/Lookup"
import { Checkpoint, Dtype, type VirtualMerge } from "@hila/model"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import * as Coefficients from "./Coefficients.ts"
import * as Trials from "./Trials.ts"

/** Adds c · (to − from) over a span of rows or columns of a tensor of so many columns, in place. */
const move = (
  sum: Float32Array,
  from: Float32Array,
  to: Float32Array,
  columns: number,
  coefficient: number,
  { axis, end, start }: Pick<VirtualMerge.Span, "axis" | "start" | "end">,
): void => {
  const c = Math.fround(coefficient)
  const run = (first: number, past: number) => {
    for (let i = first; i < past; i++)
      sum[i] = known(sum[i]) + Math.fround(c * Math.fround(known(to[i]) - known(from[i])))
  }
  if (axis === 0) run(start * columns, end * columns)
  else for (let row = 0; row < sum.length; row += columns) run(row + start, row + end)
}

/** Writes base + Σ c · (direction − base) into a new directory. */
export const write = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  directions: ReadonlyArray<Checkpoint.Checkpoint>,
  table: Coefficients.Coefficients,
  setting: Readonly<Record<string, number>>,
  directory: string,
) {
  const groupOf = yield* Coefficients.grouping(base, table)
  const tensors = [...base.tensors.values()]
  const groups = [
    ...new Set(
      tensors.flatMap(({ name }) => {
        const found = groupOf(name)
        return typeof found === "string" ? [found] : found.map(({ group }) => group)
      }),
    ),
  ]
  const values = Coefficients.lambdas(table, groups, directions.length, setting)
  return yield* Checkpoint.write(directory, {
    like: base,
    tensors: tensors.map(({ dtype, name, shape }) => ({ name, shape, dtype })),
    data: Effect.fnUntraced(function* ({ dtype, name, shape }, put) {
      const from = yield* Checkpoint.readFloat32(base, name)
      const sum = from.slice()
      const found = groupOf(name)
      const [rows = 1, ...others] = shape
      const columns = others.reduce((size, extent) => size * extent, 1)
      const spans: ReadonlyArray<VirtualMerge.Span> =
        typeof found === "string" ? [{ axis: 0, start: 0, end: rows, group: found }] : found
      for (const [k, direction] of directions.entries()) {
        const to = yield* Checkpoint.readFloat32(direction, name)
        for (const span of spans) {
          move(sum, from, to, columns, at(values, k * groups.length + groups.indexOf(span.group)), span)
        }
      }
      yield* put(Dtype.fromFloat32(sum, Dtype.isFloat(dtype) ? dtype : "F32"))
    }),
  })
})

/** The model that a search chose, from the checkpoints and tables it chose among. */
export const merged = Stage.make({
  name: "merged",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    directions: Stage.each(Checkpoint.artifact),
    tables: Stage.each(Coefficients.artifact),
    choice: Trials.choiceArtifact,
  },
  output: Checkpoint.artifact,
  run: Effect.fnUntraced(function* ({ base, choice, directions, tables }) {
    const table: Coefficients.Coefficients =
      choice.table === undefined ? Coefficients.even : at(tables, choice.table)
    const own = choice.directions.map((i: number) => at(directions, i))
    return yield* write(base, own, table, choice.setting, join(yield* Stage.scratch, "merged"))
  }),
})
