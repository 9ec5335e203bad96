/**
 * Two runs of a pipeline on two empty stores, the second with another number of processors and of stages at once, and
 * which of their results differ. Every shipped pipeline has settings under which that is quick.
 */
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { cp, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { events, hila, temporaryStore } from "../command.ts"

const fixtures = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))
const directory = fileURLToPath(new URL("../../", import.meta.url))

/** What a pipeline is run with; `scratch` is an empty directory for inputs of its own. */
export type Settings = (scratch: string) => Promise<Readonly<Record<string, string | number>>>

/** Two specialists of the micro family, a few golden prompts and trials. */
const small: Settings = async (scratch) => {
  const family = join(scratch, "family")
  for (const name of ["base", "lang", "math"])
    await cp(join(fixtures, name), join(family, name), { recursive: true })
  return { family, golden: 4, budget: 2 }
}

const question = {
  question: "Which organ pumps blood?",
  options: { A: "heart", B: "skin", C: "ear", D: "eye" },
  answer_idx: "A",
}

/** The settings of every shipped pipeline, by the name of its file. */
export const settings: Readonly<Record<string, Settings>> = {
  hila: async () => ({ golden: 24, questions: 12 }),
  compare: small,
  baselines: small,
  ablations: small,
  "sens-merging": small,
  adamerging: small,
  regression: small,
  rounds: small,
  thesis: async (scratch) => {
    const data = join(scratch, "data")
    await mkdir(join(data, "medqa"), { recursive: true })
    await writeFile(join(data, "medqa/medqa_4options_test.jsonl"), `${JSON.stringify(question)}\n`)
    return { golden: 4, budget: 2, densities: "[0.5]", settle: 4, tasks: "medqa_4options", data }
  },
  "importance-study": async () => ({ golden: 4, scheme: "layer" }),
  collab: async () => ({
    rows: 120,
    hidden: 32,
    epochs: 1,
    tokens: 8,
    vocabulary: 200,
    runs: 2,
    tune: 2,
    narrow: "true",
  }),
}

/** Whether a process can be held to one processor here. */
const canPin = (): boolean => {
  try {
    execFileSync("taskset", ["-c", "0", "true"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

/** The digest of every stage of the last run on a store, by its title; calls under one title in the order of digests. */
const digestsOf = (store: string) =>
  Effect.map(events(store), (runs) => {
    const published = (runs.at(-1) ?? []).filter(({ _tag }) => _tag === "Published")
    const byTitle = Map.groupBy(published, ({ node = "" }) => node)
    return new Map(
      [...byTitle].map(([title, all]) => [title, all.map(({ digest = "" }) => digest).toSorted()]),
    )
  })

export interface Outcome {
  /** Results of the first run. */
  readonly stages: number
  /** Titles of what differs, or is not in both. */
  readonly different: ReadonlyArray<string>
}

/** Runs a pipeline twice and compares what its stages published; `name` is that of its file. */
export const compare = Effect.fnUntraced(function* (name: string) {
  const scratch = yield* temporaryStore
  const set = yield* Effect.promise(() => (settings[name] ?? small)(scratch))
  const run = Effect.fnUntraced(function* (store: string, ...more: ReadonlyArray<string>) {
    const options = Object.entries(set).flatMap(([option, value]) => ["--set", `${option}=${value}`])
    const args = ["run", join(directory, `${name}.ts`), "--store", store, ...options, ...more]
    const processors = more.length > 0 && canPin() ? ["taskset", "-c", "0"] : []
    const { code, error } = yield* hila(args, () => false, {}, processors)
    if (code !== 0) return yield* Effect.die(new Error(`${name}: ${error}`))
    return yield* digestsOf(store)
  })
  const first = yield* run(join(scratch, "first"))
  const second = yield* run(join(scratch, "second"), "--jobs", "1")
  const titles = new Set([...first.keys(), ...second.keys()])
  const outcome: Outcome = {
    stages: [...first.values()].flat().length,
    different: [...titles].filter((title) => first.get(title)?.join() !== second.get(title)?.join()),
  }
  return outcome
}, Effect.scoped)
