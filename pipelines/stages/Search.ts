/**
 * Searches over named numbers: which settings to try next, given what was tried. No model is known here.
 *
 * A search proposes in rounds, and sees the costs of a round before the next: a grid and a random search have one round,
 * an evolutionary one has one per generation. Everything is drawn by seed and trial number, so that a search gives the
 * same proposals whenever it is repeated. Refining is for one smooth number among others that are choices: a coarse grid,
 * then parabolas through the best three points of the best choices (Brent, 1973), so that a method with many choices is
 * tuned as finely in λ as one with none.
 *
 * Evolution is differential evolution (Storn & Price, 1997), variant rand/1/bin: no gradient, three constants, and
 * forty lines. There is no maintained package of CMA-ES or of it for JavaScript.
 */
import { at, entry } from "@hila/core/Lookup"
import * as Schema from "effect/Schema"
import * as Draw from "./Draw.ts"

const Positive = Schema.Int.check(Schema.isGreaterThan(0))

/** The values a number may have: these, or all from least to greatest. */
export const Domain = Schema.Union([
  Schema.NonEmptyArray(Schema.Finite),
  Schema.Struct({ least: Schema.Finite, greatest: Schema.Finite }),
])
export type Domain = typeof Domain.Type

/** Numbers by name. */
export const Domains = Schema.Record(Schema.String, Domain)
export type Domains = typeof Domains.Type

/** How to search. A range counts as `steps` evenly spaced values in a grid. */
export const Method = Schema.Union([
  Schema.TaggedStruct("grid", { steps: Schema.optionalKey(Positive) }),
  Schema.TaggedStruct("refine", { trials: Positive, steps: Positive, number: Schema.String }),
  Schema.TaggedStruct("random", { trials: Positive, seed: Schema.Int }),
  Schema.TaggedStruct("evolution", {
    trials: Positive,
    seed: Schema.Int,
    population: Schema.optionalKey(Positive),
  }),
])
export type Method = typeof Method.Type

/** A value for every number. */
export type Setting = Readonly<Record<string, number>>

/** Rounds of proposals; `next` takes the costs of the round before, in order, and gives none when the search is over. */
export interface Search {
  readonly first: ReadonlyArray<Setting>
  readonly next: (costs: ReadonlyArray<number>) => ReadonlyArray<Setting>
}

/** The value at a share of a domain, [0, 1). */
const valueAt = (domain: Domain, share: number): number =>
  "least" in domain
    ? domain.least + share * (domain.greatest - domain.least)
    : at(domain, Math.min(Math.floor(share * domain.length), domain.length - 1))

const settingAt = (domains: Domains, shares: Setting): Setting =>
  Object.fromEntries(
    Object.entries(domains).map(([name, domain]) => [name, valueAt(domain, entry(shares, name))]),
  )

const once = (first: ReadonlyArray<Setting>): Search => ({ first, next: () => [] })

/** All combinations, the last name's values changing fastest. */
const grid = (domains: Domains, steps = 10): Search => {
  const values = Object.entries(domains).map(
    ([name, domain]) =>
      [
        name,
        "least" in domain
          ? Array.from(
              { length: steps },
              (_, i) => domain.least + (i / Math.max(steps - 1, 1)) * (domain.greatest - domain.least),
            )
          : domain,
      ] as const,
  )
  return once(
    values.reduce<ReadonlyArray<Setting>>(
      (settings, [name, own]) =>
        settings.flatMap((setting) => own.map((value) => ({ ...setting, [name]: value }))),
      [{}],
    ),
  )
}

/** The point where a parabola through three points is least, or halfway towards the better side where there is none. */
const vertex = (
  points: ReadonlyArray<readonly [x: number, cost: number]>,
  least: number,
  greatest: number,
): number => {
  const [low, middle, high] = around(points)
  if (middle === undefined) return (least + greatest) / 2
  // At a border the next point lies beyond it, or halfway to it.
  if (low === undefined || high === undefined) {
    const [inner, outer] = low === undefined ? [high, least] : [low, greatest]
    const step = inner === undefined ? outer - middle[0] : (middle[0] - inner[0]) / 2
    const beyond = middle[0] + step
    if (beyond >= least && beyond <= greatest) return beyond
    // On the border itself nothing lies between.
    return (middle[0] + (middle[0] === outer && inner !== undefined ? inner[0] : outer)) / 2
  }
  const [a, b] = [(middle[0] - low[0]) * (middle[1] - high[1]), (middle[0] - high[0]) * (middle[1] - low[1])]
  const bend = 2 * (a - b)
  const found =
    bend === 0 ? middle[0] : middle[0] - ((middle[0] - low[0]) * a - (middle[0] - high[0]) * b) / bend
  // A vertex on a point that is known says nothing new: then halve the wider side.
  const wider = middle[0] - low[0] > high[0] - middle[0] ? low[0] : high[0]
  return Math.abs(found - middle[0]) < (high[0] - low[0]) / 50 ? (middle[0] + wider) / 2 : found
}

/** The best point and its neighbours. */
const around = (points: ReadonlyArray<readonly [x: number, cost: number]>) => {
  const ordered = points.toSorted((a, b) => a[0] - b[0])
  const best = ordered.reduce((low, point, i) => (point[1] < at(ordered, low)[1] ? i : low), 0)
  return [ordered[best - 1], ordered[best], ordered[best + 1]] as const
}

/** A coarse grid over one number and all choices of the others, then better points for the choices that did best. */
const refine = (domains: Domains, trials: number, steps: number, number: string): Search => {
  const { [number]: domain = [0] as const, ...others } = domains
  const [least, greatest] =
    "least" in domain ? [domain.least, domain.greatest] : [Math.min(...domain), Math.max(...domain)]
  const middle = {
    least: least + (greatest - least) / (2 * steps),
    greatest: greatest - (greatest - least) / (2 * steps),
  }
  const first = grid({ ...others, [number]: middle }, steps).first.slice(0, trials)
  const tried = new Map<
    string,
    { readonly choice: Setting; readonly points: Array<readonly [number, number]> }
  >()
  let asked = first
  let made = first.length
  return {
    first,
    next: (costs) => {
      for (const [i, setting] of asked.entries()) {
        const { [number]: x = 0, ...choice } = setting
        const key = JSON.stringify(choice)
        const before = tried.get(key) ?? { choice, points: [] }
        before.points.push([x, at(costs, i)])
        tried.set(key, before)
      }
      // The better third of the choices goes on, at least one, each by one point a round.
      const best = [...tried.values()]
        .map((each) => ({ ...each, cost: Math.min(...each.points.map(([, cost]) => cost)) }))
        .toSorted((a, b) => a.cost - b.cost)
        .slice(0, Math.min(Math.ceil(tried.size / 3), trials - made))
      asked = best.map(({ choice, points }) => ({ ...choice, [number]: vertex(points, least, greatest) }))
      made += asked.length
      return asked
    },
  }
}

/** Shares of a fresh point, each number's range cut into as many parts as there are points: a Latin hypercube. */
const spread = (domains: Domains, count: number, seed: number): ReadonlyArray<Setting> => {
  const order = new Map(
    Object.keys(domains).map((name) => [
      name,
      Draw.shuffled([...Array(count).keys()], seed, `order ${name}`),
    ]),
  )
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(
      [...order].map(([name, places]) => [
        name,
        (at(places, i) + Draw.uniform(seed, `${name} ${i}`)) / count,
      ]),
    ),
  )
}

/** Differential weight and crossover rate, the usual ones for few trials (Storn & Price, 1997, section 4). */
const [weight, crossover] = [0.7, 0.9]

/**
 * Differential evolution over shares in [0, 1): a trial point is a + 0.7 (b − c) of three others where a draw is below
 * 0.9, its own parent elsewhere, and takes its parent's place when it costs no more. Beyond a border it lies halfway
 * between border and parent.
 */
const evolution = (domains: Domains, trials: number, seed: number, wanted?: number): Search => {
  const names = Object.keys(domains)
  const size = Math.min(Math.max(wanted ?? Math.max(4, Math.round(Math.sqrt(2 * trials))), 4), trials)
  let [made, generation] = [size, 0]
  let parents: ReadonlyArray<{ readonly shares: Setting; readonly cost: number }> = []
  let asked = spread(domains, size, seed)
  const child = (i: number): Setting => {
    const key = `${generation} ${i}`
    const others = Draw.shuffled(
      parents.filter((_, j) => j !== i),
      seed,
      key,
    )
    const own = at(parents, i).shares
    const of = (other: number, name: string) => entry(at(others, other).shares, name)
    const sure = Math.floor(Draw.uniform(seed, `${key} sure`) * names.length)
    return Object.fromEntries(
      names.map((name, j) => {
        const old = entry(own, name)
        if (j !== sure && Draw.uniform(seed, `${key} ${name}`) >= crossover) return [name, old]
        const share = of(0, name) + weight * (of(1, name) - of(2, name))
        return [name, share < 0 ? old / 2 : share >= 1 ? (old + 1) / 2 : share]
      }),
    )
  }
  return {
    first: asked.map((shares) => settingAt(domains, shares)),
    next: (costs) => {
      const tried = asked.map((shares, i) => ({ shares, cost: at(costs, i) }))
      parents =
        parents.length === 0
          ? tried
          : parents.map((parent, i) => {
              const rival = tried[i]
              return rival !== undefined && rival.cost <= parent.cost ? rival : parent
            })
      generation++
      asked = Array.from({ length: Math.min(size, trials - made) }, (_, i) => child(i))
      made += asked.length
      return asked.map((shares) => settingAt(domains, shares))
    },
  }
}

/** A search by a method. */
export const make = (domains: Domains, method: Method): Search => {
  switch (method._tag) {
    case "grid":
      return grid(domains, method.steps)
    case "refine":
      return refine(domains, method.trials, method.steps, method.number)
    case "random":
      return once(spread(domains, method.trials, method.seed).map((shares) => settingAt(domains, shares)))
    case "evolution":
      return evolution(domains, method.trials, method.seed, method.population)
  }
}
