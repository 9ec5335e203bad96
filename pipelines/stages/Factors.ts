/**
 * Statistics changed by unit: what regression fusion needs for importance to have a part in it.
 *
 * The factors of expert t in the equations of a unit become D S_t D (rows of query, key, value, gate, up) or D A_t D
 * (columns of the output projections), D² the expert's coefficient in that unit: its share of importance times the number
 * of experts, 1 where all count the same. `damping` writes the factors of a model that stands for the ridge, so that its
 * strength can be a unit's own. `inputsOf` takes inputs from one file and gradients from another.
 */
import { Stage } from "@hila/core"
import { at, entry, known, last } from "@hila/core/Lookup"
import { UnitWeights } from "@hila/merge"
import { Checkpoint, type SafetensorsError, Unit, UnitTable, WeightStatistics } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { join } from "node:path"

type Statistics = WeightStatistics.WeightStatistics
type Factor = "input" | "outputGradient"

/** Values along the rows and columns of a checkpoint's tensors, 1 where no unit is, by `<tensor>.<factor>`. */
const along = Effect.fnUntraced(function* (
  model: Checkpoint.Checkpoint,
  weights: UnitWeights.UnitWeights,
  valueOf: (row: UnitWeights.Row) => number,
) {
  const { units } = yield* Unit.partition(model, weights.scheme)
  const rows = new Map(weights.rows.map((row) => [row.unit, row]))
  const found = new Map<string, Float32Array>()
  for (const { id, slices } of units) {
    const row = rows.get(id)
    for (const { axis, end, start, tensor } of row === undefined ? [] : slices) {
      const { shape } = entry(model.tensors, tensor)
      if (shape.length < 2 || row === undefined) continue
      const factor: Factor = axis === 0 ? "outputGradient" : "input"
      const before = found.get(`${tensor}.${factor}`)
      const values = before === undefined ? new Float32Array(at(shape, axis)).fill(1) : before
      found.set(`${tensor}.${factor}`, values.fill(valueOf(row), start, end))
    }
  }
  return found
})

/** D F D in the form that F has: `[n]`, `[n, n]` or `[blocks, b, b]`; `squares` is the diagonal of D². */
const scaled = (factor: Float32Array, shape: ReadonlyArray<number>, squares: Float32Array): Float32Array => {
  const size = last(shape)
  if (shape.length === 1) return factor.map((value, i) => value * known(squares[i]))
  return factor.map((value, at) => {
    const [row, column] = [Math.floor(at / size), at % size]
    const block = size * Math.floor(row / size)
    return value * Math.sqrt(known(squares[row]) * known(squares[block + column]))
  })
}

const shapesOf = ({ tensors }: Statistics) =>
  new Map([...tensors.values()].map(({ name, shape }) => [name, shape]))

/** One file out of others: the shapes and values of every tensor, the rest as in `like`. */
const write = Effect.fnUntraced(function* (
  like: Statistics,
  shapes: ReadonlyMap<string, ReadonlyArray<number>>,
  values: (name: string) => Effect.Effect<Float32Array, SafetensorsError>,
) {
  const { examples, kind, options, tokens, transposed } = like
  return yield* WeightStatistics.write(join(yield* Stage.scratch, "statistics.safetensors"), {
    kind,
    examples,
    tokens,
    options,
    transposed: [...transposed],
    tensors: shapes,
    values,
  })
})

const valuesIn = ({ tensors }: Statistics, name: string) => {
  const info = tensors.get(name)
  return info === undefined ? Effect.succeed(new Float32Array()) : WeightStatistics.read(info)
}

/** An expert's statistics with its coefficient in every unit. */
export const weighed = Stage.make({
  name: "weighed-statistics",
  version: 1,
  inputs: {
    model: Checkpoint.artifact,
    statistics: WeightStatistics.artifact,
    weights: UnitWeights.artifact,
  },
  params: { expert: Schema.Int },
  output: WeightStatistics.artifact,
  run: Effect.fnUntraced(function* ({ model, statistics, weights }, { expert }) {
    const squares = yield* along(model, weights, (row) => at(UnitWeights.coefficients(weights, row), expert))
    return yield* write(statistics, shapesOf(statistics), (name) =>
      Effect.map(valuesIn(statistics, name), (values) => {
        const own = squares.get(name)
        return own === undefined ? values : scaled(values, entry(statistics.tensors, name).shape, own)
      }),
    )
  }),
})

/** Gradients of one file with the inputs of another of the same forms. */
export const inputsOf = Stage.make({
  name: "inputs-of",
  version: 1,
  inputs: { gradients: WeightStatistics.artifact, inputs: WeightStatistics.artifact },
  output: WeightStatistics.artifact,
  run: Effect.fnUntraced(function* ({ gradients, inputs }) {
    return yield* write(gradients, shapesOf(gradients), (name) =>
      valuesIn(name.endsWith(".input") && inputs.tensors.has(name) ? inputs : gradients, name),
    )
  }),
})

const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += known(values[i])
  return sum / values.length
}

/** A diagonal in the form of a factor. */
const diagonal = (shape: ReadonlyArray<number>, valueOf: (row: number) => number): Float32Array => {
  const size = last(shape)
  const values = new Float32Array(shape.reduce((product, extent) => product * extent, 1))
  if (shape.length === 1) return values.map((_, row) => valueOf(row))
  for (let row = 0; row < values.length / size; row++) values[row * size + (row % size)] = valueOf(row)
  return values
}

/** The mean of a factor's diagonal. */
const meanDiagonal = (values: Float32Array, shape: ReadonlyArray<number>): number => {
  const size = last(shape)
  if (shape.length === 1) return meanOf(values)
  let sum = 0
  for (let row = 0; row < values.length / size; row++) sum += known(values[row * size + (row % size)])
  return (sum * size) / values.length
}

/**
 * Factors of a model that is pulled to: A = 1, S = ρ s d, s the mean over experts of mean diag A · mean diag S, and d of a
 * unit what `weights` has for its one expert. With ρ 0 beside it, regression fusion with these is one with a ridge of
 * strength ρ d.
 */
export const damping = Stage.make({
  name: "damping-statistics",
  version: 1,
  inputs: {
    model: Checkpoint.artifact,
    statistics: Stage.each(WeightStatistics.artifact),
    weights: UnitWeights.artifact,
  },
  params: { rho: Schema.Finite },
  output: WeightStatistics.artifact,
  run: Effect.fnUntraced(function* ({ model, statistics, weights }, { rho }) {
    const [like] = statistics
    if (like === undefined) return yield* Effect.die("damping without statistics")
    const own = yield* along(model, weights, (row) => at(row.weights, 0))
    const gradientOf = (name: string) => name.replace(/input$/, "outputGradient")
    const linear = [...like.tensors.keys()].filter(
      (name) => name.endsWith(".input") && like.tensors.has(gradientOf(name)),
    )
    const shapes = new Map(
      linear.flatMap((name) =>
        [name, gradientOf(name)].map((each) => [each, entry(like.tensors, each).shape]),
      ),
    )
    const scaleOf = Effect.fnUntraced(function* (input: string) {
      const scales = yield* Effect.forEach(statistics, (each) =>
        Effect.map(
          Effect.forEach([input, gradientOf(input)], (name) => valuesIn(each, name)),
          (own) =>
            meanDiagonal(at(own, 0), entry(shapes, input)) *
            meanDiagonal(at(own, 1), entry(shapes, gradientOf(input))),
        ),
      )
      return rho * meanOf(scales)
    })
    return yield* write(
      like,
      shapes,
      Effect.fnUntraced(function* (name) {
        const scale = name.endsWith(".input") ? 1 : yield* scaleOf(name.replace(/outputGradient$/, "input"))
        const factors = own.get(name)
        return diagonal(entry(shapes, name), (row) =>
          factors === undefined ? scale : scale * known(factors[row]),
        )
      }),
    )
  }),
})

/**
 * How stiff each unit is: (1 + the mean over experts of its relative importance)^−γ, with mean 1 inside each kind. What
 * matters to nobody stays with task arithmetic, what matters goes where the golden losses want it.
 */
export const stiffness = Stage.make({
  name: "stiffness",
  version: 1,
  inputs: { importance: Stage.each(UnitTable.artifact) },
  params: { gamma: Schema.Finite },
  output: UnitWeights.artifact,
  run: ({ importance }, { gamma }) => {
    const first = at(importance, 0)
    const rows = first.rows.map(({ index, kind, layer, size, unit }, row) => ({
      index,
      kind,
      layer,
      size,
      unit,
      weight: (1 + meanOf(importance.map((table) => at(table.rows, row).relative))) ** -gamma,
    }))
    const means = new Map(
      [...Map.groupBy(rows, ({ kind }) => kind)].map(([kind, own]) => [
        kind,
        meanOf(own.map(({ weight }) => weight)),
      ]),
    )
    return Effect.succeed({
      scheme: first.scheme,
      experts: 1,
      meaning: "coefficient" as const,
      rows: rows.map(({ weight, ...row }) => ({ ...row, weights: [weight / entry(means, row.kind)] })),
    })
  },
})
