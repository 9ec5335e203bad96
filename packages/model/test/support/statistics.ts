/** Statistics of weights as means in memory, and a layer of a Llama in plain TypeScript to compare them with. */
import * as Effect from "effect/Effect"
import { Checkpoint, type Example, StatisticsModel } from "../../src/index.ts"

export interface Statistic {
  readonly shape: ReadonlyArray<number>
  readonly data: Float64Array
}

/** Opens a checkpoint for statistics. */
export const openStatistics = Effect.fnUntraced(function* (directory: string) {
  return yield* StatisticsModel.open(yield* Checkpoint.open(directory))
})

/** Passes that were asked for already: a model keeps the last one open. */
const known = new WeakMap<object, Map<string, ReadonlyArray<StatisticsModel.StatisticsPass>>>()

const passesOf = Effect.fnUntraced(function* (
  model: StatisticsModel.StatisticsModel,
  options: StatisticsModel.StatisticsOptions,
) {
  const own = known.get(model) ?? new Map<string, ReadonlyArray<StatisticsModel.StatisticsPass>>()
  known.set(model, own)
  const passes = own.get(JSON.stringify(options)) ?? (yield* model.passes(options))
  own.set(JSON.stringify(options), passes)
  return passes
})

/** The means of a kind by the names of the file's tensors. */
export const means = Effect.fnUntraced(function* (
  model: StatisticsModel.StatisticsModel,
  examples: ReadonlyArray<Example.Example>,
  options: StatisticsModel.StatisticsOptions,
) {
  const found = new Map<string, Statistic>()
  const count = {
    example: examples.length,
    token: examples.reduce((sum, { tokens }) => sum + tokens.length - 1, 0),
    prediction: examples.reduce((sum, { promptLength, tokens }) => sum + tokens.length - promptLength, 0),
  }
  for (const pass of yield* passesOf(model, options)) {
    const sums = yield* model.collect(pass, examples)
    pass.quantities.forEach(({ names, per, shape }, i) => {
      const data = sums[i]!.map((sum) => sum / count[per])
      for (const name of names) found.set(name, { shape, data })
    })
  }
  return found
})

/** A statistic that has to be there. */
export const of = (found: ReadonlyMap<string, Statistic>, name: string): Statistic => {
  const statistic = found.get(name)
  if (statistic === undefined) throw new Error(`no ${name} among ${[...found.keys()].join(", ")}`)
  return statistic
}

/** max |a − b| / max |b| */
export const relative = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  if (a.length !== b.length) return Number.NaN
  let [far, most] = [0, 0]
  for (let i = 0; i < a.length; i++) {
    far = Math.max(far, Math.abs(a[i]! - b[i]!))
    most = Math.max(most, Math.abs(b[i]!))
  }
  return far / (most || 1)
}

/** Σ x·xᵀ / rows in full, [size, size]. */
export const covarianceOf = (rows: ReadonlyArray<ArrayLike<number>>): Float64Array => {
  const size = rows[0]!.length
  const sum = new Float64Array(size * size)
  for (const row of rows)
    for (let i = 0; i < size; i++)
      for (let j = 0; j < size; j++) sum[i * size + j]! += (row[i]! * row[j]!) / rows.length
  return sum
}

/** The diagonal blocks [n / size, size, size] of a matrix [n, n]. */
export const diagonalBlocks = (matrix: Float64Array, size: number): Float64Array => {
  const n = Math.sqrt(matrix.length)
  return Float64Array.from({ length: n * size }, (_, at) => {
    const [block, i, j] = [Math.floor(at / size / size), Math.floor(at / size) % size, at % size]
    return matrix[(block * size + i) * n + block * size + j]!
  })
}
