/**
 * Searches over named numbers: which settings to try next, given what was tried. No model is known here.
 *
 * A search proposes in rounds, and sees the costs of a round before the next: a grid and a random search have one round,
 * an evolutionary one has one per generation. Everything is drawn by seed and trial number, so that a search gives the
 * same proposals whenever it is repeated.
 *
 * Evolution is differential evolution (Storn & Price, 1997), variant rand/1/bin: no gradient, three constants, and
 * forty lines. There is no maintained package of CMA-ES or of it for JavaScript.
 */
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
const at = (domain: Domain, share: number): number =>
  "least" in domain
    ? domain.least + share * (domain.greatest - domain.least)
    : (domain[Math.min(Math.floor(share * domain.length), domain.length - 1)] ?? 0)

const settingAt = (domains: Domains, shares: Setting): Setting =>
  Object.fromEntries(Object.entries(domains).map(([name, domain]) => [name, at(domain, shares[name] ?? 0)]))

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
        ((places[i] ?? 0) + Draw.uniform(seed, `${name} ${i}`)) / count,
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
    const [own, a, b, c] = [parents[i], others[0], others[1], others[2]].map((each) => each?.shares ?? {})
    const sure = Math.floor(Draw.uniform(seed, `${key} sure`) * names.length)
    return Object.fromEntries(
      names.map((name, j) => {
        const old = own?.[name] ?? 0
        if (j !== sure && Draw.uniform(seed, `${key} ${name}`) >= crossover) return [name, old]
        const share = (a?.[name] ?? 0) + weight * ((b?.[name] ?? 0) - (c?.[name] ?? 0))
        return [name, share < 0 ? old / 2 : share >= 1 ? (old + 1) / 2 : share]
      }),
    )
  }
  return {
    first: asked.map((shares) => settingAt(domains, shares)),
    next: (costs) => {
      const tried = asked.map((shares, i) => ({ shares, cost: costs[i] ?? Infinity }))
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
    case "random":
      return once(spread(domains, method.trials, method.seed).map((shares) => settingAt(domains, shares)))
    case "evolution":
      return evolution(domains, method.trials, method.seed, method.population)
  }
}
