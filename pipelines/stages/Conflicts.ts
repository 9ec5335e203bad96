/**
 * Conflicts between experts, settled group by group as Hi-Merging does it (Fu et al., ACL 2025, arXiv 2506.12379): in
 * layers, or in heads and MLPs.
 *
 * γ of every expert is measured in the merge as it is (`ConflictInMerge`); of the groups not yet settled the one with the
 * greatest Σ γ is settled: two experts in conflict (γ > 0), the change that is worth less goes; one, its change is
 * pruned and scaled once more; none, all stay. Then the others are measured again, in the merge as it is now. Of more
 * than two in conflict the one worth least goes and the group is measured again, until the rule for two decides.
 */
import { Artifact, Stage } from "@hila/core"
import { at, atOr, known } from "@hila/core/Lookup"
import { Checkpoint, Example, Runtime, Unit, VirtualMerge } from "@hila/model"
import { ConflictInMerge } from "@hila/scoring"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Entry } from "./Baselines.ts"
import * as Coefficients from "./Coefficients.ts"
import * as Trials from "./Trials.ts"
import { type Bench, type Golden, type Model, type Table, type Tuned, tuned } from "./Tuned.ts"

type Claim = ConflictInMerge.Claim
const Claims = Artifact.json("claims", Schema.Array(Schema.Array(ConflictInMerge.Claim)))

/** What becomes of an expert's change in a group. */
const Verdict = Schema.Literals(["keep", "drop", "halve"])
export type Verdict = typeof Verdict.Type

const Settled = Schema.Struct({
  /** In the order they were settled; claims as they were then, in the order of the experts. */
  groups: Schema.Array(
    Schema.Struct({
      group: Schema.String,
      claims: Schema.Array(ConflictInMerge.Claim),
      verdicts: Schema.Array(Verdict),
    }),
  ),
  coefficients: Coefficients.Coefficients,
})
type Settled = typeof Settled.Type

const summary = ({ groups }: Settled): string => {
  const of = (wanted: Verdict) =>
    groups.flatMap(({ verdicts }) => verdicts).filter((each) => each === wanted).length
  return `${groups.length} groups, ${of("keep")} changes kept, ${of("halve")} pruned once more, ${of("drop")} dropped`
}

const cells = ({ groups }: Settled): ReadonlyArray<ReadonlyArray<string>> =>
  groups.map(({ claims, group, verdicts }) => [
    group,
    claims.reduce((sum, { conflict }) => sum + conflict, 0).toFixed(4),
    ...claims.map(
      ({ conflict, standardError, worth }, k) =>
        `${worth.toFixed(4)}, ${conflict.toFixed(4)} ± ${standardError.toFixed(4)}: ${verdicts[k]}`,
    ),
  ])

const artifact = Artifact.json("settled-conflicts", Settled, {
  summary,
  show: (settled) => [summary(settled), ...cells(settled).map((row) => `  ${row.join("  ")}`)].join("\n"),
  figures: (settled) => [
    {
      _tag: "Table",
      title: summary(settled),
      head: [
        "group",
        "Σ γ",
        ...atOr(settled.groups, 0, { claims: [] }).claims.map((_, k) => `expert ${k}: c, γ`),
      ],
      rows: cells(settled),
      note: "In the order of settling, nats per token; γ above 0 is a conflict.",
    },
  ],
})

/** Whether an expert is in conflict: γ above 0 by so many standard errors. */
const inConflict = ({ conflict, standardError }: Claim, errors: number): boolean =>
  conflict > 0 && conflict >= errors * standardError

/** The rule on the experts that are still in a group: who goes, who is pruned once more, or that all stay. */
export const rule = (
  claims: ReadonlyArray<Claim>,
  present: ReadonlyArray<number>,
  errors: number,
): { readonly verdict: Verdict; readonly expert: number } | undefined => {
  if (present.length < 2) return undefined
  const against = present.flatMap((expert) => {
    const claim = claims[expert]
    return claim !== undefined && inConflict(claim, errors) ? [{ expert, worth: claim.worth }] : []
  })
  const [first, ...others] = against
  if (first === undefined) return undefined
  const least = others.reduce((low, each) => (each.worth < low.worth ? each : low), first)
  return { verdict: others.length > 0 ? "drop" : "halve", expert: least.expert }
}

/** The table of coefficients that is left when conflicts are settled; of directions and behind them their pruned ones. */
export const settle = Stage.make({
  name: "settle-conflicts",
  version: 1,
  inputs: {
    base: Checkpoint.artifact,
    /** The experts as the merge takes them, and pruned once more. */
    directions: Stage.each(Checkpoint.artifact),
    again: Stage.each(Checkpoint.artifact),
    tables: Stage.each(Coefficients.artifact),
    choice: Trials.choiceArtifact,
    golden: Stage.each(Example.artifact),
  },
  params: {
    /** Groups that are settled before the others are measured again. */
    every: Schema.Int.check(Schema.isGreaterThan(0)),
    /** Standard errors that γ has to be above 0. */
    errors: Schema.Finite,
    removed: ConflictInMerge.Removed,
  },
  output: artifact,
  environment: [Runtime],
  run: Effect.fnUntraced(function* (inputs, { errors, every, removed }) {
    const { again, base, choice, directions, golden } = inputs
    const table = choice.table === undefined ? Coefficients.even : at(inputs.tables, choice.table)
    const merge = yield* VirtualMerge.open(
      base,
      [...directions, ...again],
      yield* Coefficients.grouping(base, table),
    )
    const { groups } = merge
    const [experts, count] = [directions.length, groups.length]
    const weights = new Float32Array(2 * experts * count)
    weights.set(Coefficients.lambdas(table, groups, experts, choice.setting))
    const owners = [...directions.keys(), ...directions.keys()]
    const measure = yield* ConflictInMerge.make({ merge, owners, golden, weights: weights.slice(), removed })
    const units =
      table.scheme === undefined
        ? undefined
        : (yield* Unit.partition(base, table.scheme)).units.map(({ id }) => id)
    const isSettled = (group: string) =>
      units === undefined ? Coefficients.layerOf(group) !== undefined : units.includes(group)
    const instance = yield* Stage.Instance
    let left = [...groups.keys()].filter((at) => isSettled(known(groups[at])))
    const all = left.length
    const done: Array<Settled["groups"][number]> = []

    /** Decides on one group by what was claimed; `weights` are those of the merge from then on. */
    const decide = Effect.fnUntraced(function* (group: number, claims: ReadonlyArray<Claim>) {
      const verdicts = directions.map((): Verdict => "keep")
      let [present, current]: [ReadonlyArray<number>, typeof claims] = [[...directions.keys()], claims]
      for (let found = rule(claims, present, errors); found !== undefined;) {
        const { expert, verdict } = found
        const [own, pruned] = [expert * count + group, (experts + expert) * count + group]
        if (verdict === "halve") weights[pruned] = known(weights[own]) / 2
        weights[own] = 0
        verdicts[expert] = verdict
        present = verdict === "halve" ? [] : present.filter((each) => each !== expert)
        if (present.length > 1) {
          const part = `group-${groups[group]}-of-${present.length}`
          current = at(yield* Stage.part(part, Claims, measure(weights, [group])), 0)
        }
        found = rule(current, present, errors)
      }
      done.push({ group: at(groups, group), claims, verdicts })
    })

    while (left.length > 0) {
      const found = yield* Stage.part(`after-${done.length}`, Claims, measure(weights, left))
      const total = (claims: ReadonlyArray<Claim>) => claims.reduce((sum, { conflict }) => sum + conflict, 0)
      const ordered = left
        .map((group, i) => ({ group, claims: known(found[i]) }))
        .toSorted((a, b) => total(b.claims) - total(a.claims))
      for (const { claims, group } of ordered.slice(0, every)) yield* decide(group, claims)
      left = ordered.slice(every).map(({ group }) => group)
      yield* instance.progress(done.length, 0, all)
    }
    return {
      groups: done,
      coefficients: {
        ...(table.scheme === undefined ? {} : { scheme: table.scheme }),
        rows: groups.map((group, at) => ({
          group,
          weights: owners.map((_, i) => known(weights[i * count + at])),
        })),
      },
    }
  }, Effect.scoped),
})

/** The coefficients alone; their λ is 1. */
const settledTable = Stage.make({
  name: "settled-table",
  version: 1,
  inputs: { settled: artifact },
  output: Coefficients.artifact,
  run: ({ settled }) => Effect.succeed(settled.coefficients),
})

/** One of the checkpoints that a search chose among. */
const chosen = Stage.make({
  name: "chosen-direction",
  version: 1,
  inputs: { directions: Stage.each(Checkpoint.artifact), choice: Trials.choiceArtifact },
  params: { at: Schema.Int },
  output: Checkpoint.artifact,
  run: ({ choice, directions }, { at: index }) =>
    Effect.succeed(at(directions, at(choice.directions, index))),
})

/** How conflicts are measured and settled; see the stage. */
export interface Options {
  readonly every: number
  readonly errors: number
  readonly removed: typeof ConflictInMerge.Removed.Type
}

/**
 * A method that was tuned, with its conflicts settled on golden data of scoring and λ tried once more around 1. `again`
 * are the method's directions pruned once more, in their order.
 */
export const settled = (
  bench: Bench,
  row: string,
  method: Tuned,
  again: ReadonlyArray<Model>,
  golden: ReadonlyArray<Golden>,
  options: Options,
): Entry => {
  const { base, experts } = bench
  const { choice, directions, tables } = method
  const pick = (from: ReadonlyArray<Model>, kind: string) =>
    experts.map((_, at) => chosen({ directions: from, choice }, { at }, `${row} ${kind} ${at}`))
  const [own, pruned] = [pick(directions, "own"), pick(again, "again")]
  const table: Table = settledTable({
    settled: settle({ base, directions: own, again: pruned, tables, choice, golden }, options, row),
  })
  return {
    row,
    needs: "4 forward passes per layer or unit, and more as they are settled; the trials of its first step",
    tuned: tuned(bench, row, [{ name: "", directions: [...own, ...pruned], table }], {
      domains: { lambda: [0.9, 1, 1.1] },
      search: { _tag: "grid" },
    }),
  }
}
