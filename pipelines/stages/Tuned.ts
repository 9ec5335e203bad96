/**
 * What a pipeline calls to tune a method and get its model: candidates in, trials, choice and checkpoint out.
 */
import { type Node, PipelineError } from "@hila/core"
import { entry, known } from "@hila/core/Lookup"
import type { Checkpoint, Example, Runtime } from "@hila/model"
import * as Coefficients from "./Coefficients.ts"
import { merged } from "./Merged.ts"
import type * as Search from "./Search.ts"
import { choice, tune } from "./Tuning.ts"

/** A model to be: of the user's, of the Hub, or made by stages that may run models. */
export type Model = Node.Node<Checkpoint.Checkpoint, unknown, Runtime, Runtime>
export type Golden = Node.Node<ReadonlyArray<Example.Example>, unknown, Runtime, Runtime>
export type Table = Node.Node<Coefficients.Coefficients, unknown, Runtime, Runtime>

/** One way a method can be: task vectors, as the checkpoints they lead to, and coefficients where they are not all 1. */
export interface Candidate {
  /** Its own choices for people, `density 0.5`; empty where there are none. */
  readonly name: string
  readonly directions: ReadonlyArray<Model>
  readonly table?: Table
}

/** What all methods of a comparison are tuned with. */
export interface Bench {
  readonly base: Model
  readonly experts: ReadonlyArray<Model>
  /** The golden sets of tuning, in the order of the experts. */
  readonly golden: ReadonlyArray<Golden>
  readonly objective: "loss" | "retention" | "worst"
  /** Trials of each method. */
  readonly budget: number
}

/** The numbers to search and how; λ with all the budget unless given. */
export interface Plan {
  readonly domains: Search.Domains
  readonly search: Search.Method
}

/** Evenly spaced values, both ends among them. */
export const values = (
  least: number,
  greatest: number,
  count: number,
): readonly [number, ...Array<number>] => {
  const step = count > 1 ? (greatest - least) / (count - 1) : 0
  const at = (i: number) => Number((least + i * step).toFixed(4))
  return [at(0), ...Array.from({ length: Math.max(count, 1) - 1 }, (_, i) => at(i + 1))]
}

/**
 * A search over λ that spends the budget on all candidates together; up to `most`, 1.2 for sums of task vectors. A grid
 * where there is one candidate, else a coarse one that is refined where it is best.
 */
export const overLambda = ({ budget }: Pick<Bench, "budget">, candidates: number, most = 1.2): Plan =>
  candidates === 1
    ? { domains: { lambda: values(most / Math.max(budget, 12), most, budget) }, search: { _tag: "grid" } }
    : {
        domains: { lambda: { least: 0, greatest: most } },
        search: {
          _tag: "refine",
          number: "lambda",
          trials: budget,
          steps: Math.max(2, Math.min(6, Math.floor((0.6 * budget) / candidates))),
        },
      }

const indexOf = <A>(all: ReadonlyArray<A>) => {
  const places = new Map(all.map((each, i) => [each, i]))
  return (each: A) => entry(places, each)
}

/** Tunes a method over its candidates. */
export const tuned = (
  bench: Bench,
  label: string,
  candidates: readonly [Candidate, ...ReadonlyArray<Candidate>],
  { domains, search }: Plan = overLambda(bench, candidates.length),
) => {
  const unknown = Object.keys(domains).find((name) => !Coefficients.isParameter(name))
  if (unknown !== undefined) {
    const problem = `there is no number "${unknown}" to search; there are lambda, slope, rest and expert.<i>`
    // Building is plain code; `Pipeline.build` catches it.
    throw new PipelineError({ pipeline: `tuning of ${label}`, problem })
  }
  const directions = [...new Set(candidates.flatMap((candidate) => candidate.directions))]
  const tables = [...new Set(candidates.flatMap(({ table }) => table ?? []))]
  const [directionOf, tableOf] = [indexOf(directions), indexOf(tables)]
  const variantOf = ({ directions: own, name, table }: Candidate) => {
    const [first, ...others] = own.map(directionOf)
    return {
      name,
      directions: [known(first), ...others] as const,
      ...(table === undefined ? {} : { table: tableOf(table) }),
    }
  }
  const [first, ...others] = candidates
  const variants = [variantOf(first), ...others.map(variantOf)] as const
  const { base, experts, golden, objective } = bench
  const tuning = tune(
    { base, directions, tables, experts: objective === "loss" ? [] : experts, golden },
    { variants, domains, search, objective },
    label,
  )
  const chosen = choice({ tuning }, { variants }, label)
  const model = merged({ base, directions, tables, choice: chosen }, {}, label)
  return { tuning, choice: chosen, model, directions, tables }
}

/** A method that was tuned. */
export type Tuned = ReturnType<typeof tuned>
