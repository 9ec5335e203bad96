/**
 * Merge methods as their formulas stand, in f64, tensor by tensor and without a thought for speed: what a merge would give
 * if nothing were ever rounded. The parameters are those of a recipe with mergekit 0.1.5's defaults.
 */

/** A tensor of the models and, where the method has one, of the base. */
export interface Tensors {
  readonly shape: ReadonlyArray<number>
  readonly base: Float64Array
  readonly models: ReadonlyArray<Float64Array>
}

/** Parameters of the merge and of each model. */
export interface Given {
  readonly all: Readonly<Record<string, number>>
  readonly each: ReadonlyArray<Readonly<Record<string, number>>>
}

/** The values, and those that stand for more than one right answer: of equal magnitudes a method keeps only some. */
export interface Exact {
  readonly values: Float64Array
  readonly open: ReadonlySet<number>
}

type Formula = (tensors: Tensors, given: Given) => Float64Array | Exact

const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}
const dot = (x: Float64Array, y: Float64Array) => sum(x.map((value, i) => value * (y[i] ?? 0)))
const norm = (x: Float64Array) => Math.sqrt(dot(x, x))
const minus = (x: Float64Array, y: Float64Array) => x.map((value, i) => value - (y[i] ?? 0))

/** Σ_t w_t x_t. */
const combined = (weights: ReadonlyArray<number>, vectors: ReadonlyArray<Float64Array>): Float64Array =>
  (vectors[0] ?? new Float64Array()).map((_, i) =>
    sum(weights.map((weight, t) => weight * (vectors[t]?.[i] ?? 0))),
  )

const weightsOf = ({ each }: Given) => each.map(({ weight = 1 }) => weight)
const shares = (weights: ReadonlyArray<number>) => weights.map((weight) => weight / sum(weights))
const deltasOf = ({ base, models }: Tensors) => models.map((model) => minus(model, base))

/** The point at `t` on the arc between two directions, with the lengths that the coefficients leave. */
const arc = (x: Float64Array, y: Float64Array, t: number): Float64Array => {
  const angle = Math.acos(dot(x, y) / (norm(x) * norm(y)))
  return combined(
    [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)],
    [x, y],
  )
}

/** Elements of rank `from` to `to − 1` by falling magnitude, the lower index first where two are equal. */
const ranked = (delta: Float64Array, from: number, to: number) => {
  const size = (i: number) => Math.abs(delta[i] ?? 0)
  const order = Array.from(delta.keys()).toSorted((i, j) => size(j) - size(i) || i - j)
  const kept = new Set(order.slice(from, to))
  const open = new Set<number>()
  for (const edge of [from, to]) {
    const [inside, outside] = [order[edge], order[edge - 1]]
    if (inside === undefined || outside === undefined || size(inside) !== size(outside)) continue
    for (const i of order) if (size(i) === size(inside)) open.add(i)
  }
  return { values: delta.map((value, i) => (kept.has(i) ? value : 0)), open }
}

/** W_0 + λ Σ_t w_t δ_t of trimmed task vectors; with `elect` of those that agree with the sum's sign, with `mean` divided. */
const sparse =
  (
    bounds: (size: number, model: Readonly<Record<string, number>>) => readonly [number, number],
    { elect, mean }: { readonly elect: boolean; readonly mean: boolean },
  ): Formula =>
  (tensors, given) => {
    const parts = deltasOf(tensors).map((delta, t) =>
      ranked(delta, ...bounds(delta.length, given.each[t] ?? {})),
    )
    const weights = weightsOf(given)
    const open = new Set(parts.flatMap((part) => [...part.open]))
    const values = tensors.base.map((value, i) => {
      const terms = parts.map((part, t) => ({
        w: weights[t] ?? 0,
        x: (weights[t] ?? 0) * (part.values[i] ?? 0),
      }))
      const vote = sum(terms.map(({ x }) => x))
      const sign = vote >= 0 ? 1 : -1
      // What a weight such as 0.3 is, is only known to a precision: 0.5 · 3 − 0.3 · 5 may be on either side of zero.
      if (elect && Math.abs(vote) < 2 ** -22 * sum(terms.map(({ x }) => Math.abs(x)))) open.add(i)
      const agreeing = elect ? terms.filter(({ x }) => Math.sign(x) === sign) : terms
      const divisor = mean ? sum(agreeing.map(({ w }) => w)) || 1 : 1
      return value + ((given.all["lambda"] ?? 1) * sum(agreeing.map(({ x }) => x))) / divisor
    })
    return { values, open }
  }

const trimmed = (size: number, { density = 1 }: Readonly<Record<string, number>>) =>
  [0, Math.floor(density * size)] as const
const windowed = (size: number, { density = 1, gamma = 0 }: Readonly<Record<string, number>>) => {
  const kept = Math.floor(density * size)
  const top = Math.min(Math.floor(gamma * size), size - kept)
  return [top, top + kept] as const
}

/** What a model alone changed by more than ε, scaled, and the mean of what several did. */
const merged = (tensors: Tensors, epsilon: number, scale: (t: number) => number): Float64Array => {
  const deltas = deltasOf(tensors)
  return tensors.base.map((value, i) => {
    const active = deltas.flatMap((delta, t) =>
      Math.abs(delta[i] ?? 0) > epsilon ? [{ t, x: delta[i] ?? 0 }] : [],
    )
    const [only] = active
    if (active.length === 1 && only !== undefined) return value + scale(only.t) * only.x
    return value + sum(active.map(({ x }) => x)) / Math.max(1, active.length)
  })
}

const softmax = (row: Float64Array) => {
  const powers = row.map((value) => Math.exp(value - Math.max(...row)))
  return powers.map((power) => power / sum(powers) + 1e-8)
}

export const formulas: Readonly<Record<string, Formula>> = {
  linear: ({ models }, given) => combined(shares(weightsOf(given)), models),
  passthrough: ({ models }, { each }) => combined([each[0]?.["scale"] ?? 1], models),
  slerp: ({ base, models }, { all }) => arc(base, models[0] ?? base, all["t"] ?? 0),
  nuslerp: ({ models: [x, y] }, given) => arc(x!, y!, shares(weightsOf(given))[1] ?? 0),
  multislerp: ({ models }, given) => {
    const weights = shares(weightsOf(given))
    const lengths = models.map(norm)
    const mean = combined(
      weights.map((weight, t) => weight / (lengths[t] ?? 1)),
      models,
    )
    const length = sum(weights.map((weight, t) => weight * (lengths[t] ?? 0)))
    return mean.map((value) => (value * length) / norm(mean))
  },
  karcher: ({ models }) => {
    const units = models.map((model) => model.map((value) => value / norm(model)))
    const evenly = units.map(() => 1 / units.length)
    let mean = combined(evenly, units)
    for (let i = 0; i < 10; i++) {
      mean = mean.map((value) => value / norm(mean))
      const logs = units.map((unit) => {
        const tangent = combined([1, -dot(unit, mean)], [unit, mean])
        return tangent.map((value) => (value * Math.acos(Math.min(1, dot(unit, mean)))) / norm(tangent))
      })
      const step = combined(evenly, logs)
      const length = norm(step)
      if (length < 1e-5) break
      mean = combined([Math.cos(length), Math.sin(length) / length], [mean, step])
    }
    return mean.map((value) => value * sum(models.map(norm).map((length) => length / models.length)))
  },
  task_arithmetic: sparse((size) => [0, size], { elect: false, mean: false }),
  ties: sparse(trimmed, { elect: true, mean: true }),
  breadcrumbs: sparse(windowed, { elect: false, mean: false }),
  breadcrumbs_ties: sparse(windowed, { elect: true, mean: false }),
  sce: (tensors) => {
    const deltas = deltasOf(tensors)
    const weights = shares(deltas.map((delta) => dot(delta, delta)))
    return tensors.base.map((value, i) => {
      const sign = sum(deltas.map((delta) => delta[i] ?? 0)) >= 0 ? 1 : -1
      const agreeing = deltas.flatMap((delta, t) =>
        Math.sign(delta[i] ?? 0) === sign ? [{ w: weights[t] ?? 0, x: delta[i] ?? 0 }] : [],
      )
      return value + sum(agreeing.map(({ w, x }) => w * x)) / Math.max(1e-6, sum(agreeing.map(({ w }) => w)))
    })
  },
  ram: (tensors, { all }) => merged(tensors, all["epsilon"] ?? 1e-5, () => 1),
  ramplus_tl: (tensors, { all }) => {
    const { alpha = 0.2, epsilon = 1e-5, r = 0.1 } = all
    const active = deltasOf(tensors).map((delta) => delta.map((value) => (Math.abs(value) > epsilon ? 1 : 0)))
    const together = combined(
      active.map(() => 1),
      active,
    )
    return merged(tensors, epsilon, (t) => {
      const [unique, shared] = [1, 2].map((least) =>
        sum(
          together.map((count, i) =>
            active[t]?.[i] === 1 && (least === 1 ? count === 1 : count > 1) ? 1 : 0,
          ),
        ),
      )
      return 1 + r * Math.min((shared ?? 0) / (unique ?? 1), alpha)
    })
  },
  model_stock: (tensors) => {
    const deltas = deltasOf(tensors)
    const cosines = deltas.flatMap((x, i) => deltas.slice(i + 1).map((y) => dot(x, y) / (norm(x) * norm(y))))
    const [count, cosine] = [deltas.length, sum(cosines) / cosines.length]
    const t = (count * cosine) / (1 + (count - 1) * cosine)
    return combined([1 - t, ...deltas.map(() => t / count)], [tensors.base, ...tensors.models])
  },
  nearswap: ({ base, models: [model = base] }, { all }) =>
    base.map((value, i) => {
      const delta = (model[i] ?? 0) - value
      return value + Math.min(1, (all["t"] ?? 0) / Math.max(Math.abs(delta), 1e-6)) * delta
    }),
  arcee_fusion: ({ base, models: [model = base], shape }) => {
    const width = shape.at(-1) ?? 1
    const importance = base.map((value, i) => {
      const [from, to] = [base, model].map((of) =>
        softmax(of.slice(i - (i % width), i - (i % width) + width)),
      )
      const divergence = sum((to ?? base).map((p, j) => p * Math.log(p / (from?.[j] ?? 1))))
      return Math.abs((model[i] ?? 0) - value) * divergence
    })
    const order = importance.toSorted()
    const quantile = (k: number) => order[Math.max(1, Math.floor(k)) - 1] ?? 0
    const size = order.length
    const least = quantile(size / 2) + 1.5 * (quantile((3 * size) / 4) - quantile(size / 4))
    return base.map((value, i) => ((importance[i] ?? 0) >= least ? (model[i] ?? 0) : value))
  },
}

/** A method's values for one tensor. */
export const exact = (method: string, tensors: Tensors, given: Given): Exact => {
  const found = formulas[method]?.(tensors, given) ?? new Float64Array()
  return found instanceof Float64Array ? { values: found, open: new Set() } : found
}
