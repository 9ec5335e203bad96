/** What `hila merge`, `plan-merge`, `inspect`, `compare`, `extract-lora` and `push` do. */
import { entry, entryOr } from "@hila/core/Lookup"
import * as Recipe from "@hila/merge/Recipe"
import * as Tools from "@hila/merge/Tools"
import { Checkpoint, Hub } from "@hila/model"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { OddError, UsageError } from "./CliError.ts"
import * as Downloads from "./Downloads.ts"
import * as Progress from "./Progress.ts"

const units: Readonly<Record<string, number>> = { "": 1, K: 1e3, M: 1e6, G: 1e9 }

/** A number of bytes such as 5GB. */
const bytesOf = (text: string) => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([kKmMgG]?)[bB]?$/.exec(text) ?? []
  const bytes = Math.floor(Number(number) * entry(units, (unit ?? "").toUpperCase()))
  return bytes > 0
    ? Effect.succeed(bytes)
    : Effect.fail(new UsageError({ problem: `--shard-size ${text}: expected a number of bytes such as 5GB` }))
}

/** The differences that `--accept` names, with commas between them. */
const acceptedOf = Effect.fnUntraced(function* (given: Option.Option<string>) {
  const accepted: Array<Recipe.Acceptable> = []
  for (const name of Option.isNone(given) ? [] : given.value.split(",")) {
    const known = Recipe.acceptable.find((each) => each === name.trim())
    if (known === undefined) {
      const problem = `--accept ${name}: expected some of ${Recipe.acceptable.join(", ")}, with commas between them`
      return yield* new UsageError({ problem })
    }
    accepted.push(known)
  }
  return accepted
})

const print = (asJson: boolean, value: unknown, text: () => string) =>
  Console.log(asJson ? JSON.stringify(value) : text())

/** Merges, or prints the schema. */
export const merge = Effect.fnUntraced(function* (given: {
  readonly recipe: Option.Option<string>
  readonly directory: Option.Option<string>
  readonly threads: Option.Option<number>
  readonly shard: Option.Option<string>
  readonly skipDigests: boolean
  readonly dryRun: boolean
  readonly accept: Option.Option<string>
  readonly schema: boolean
  readonly json: boolean
}) {
  if (given.schema) return yield* Console.log(JSON.stringify(Recipe.jsonSchema(), null, 2))
  if (Option.isNone(given.recipe))
    return yield* new UsageError({ problem: "name a recipe: hila merge recipe.yml output" })
  if (given.dryRun) return yield* planMerge({ ...given, recipe: given.recipe.value })
  if (Option.isNone(given.directory)) {
    return yield* new UsageError({
      problem: `name a directory for the result: hila merge ${given.recipe.value} output`,
    })
  }
  const shardBytes = Option.isNone(given.shard) ? undefined : yield* bytesOf(given.shard.value)
  const started = Date.now()
  const directory = given.directory.value
  const progress = Progress.of()
  let told: Recipe.Report.Report | undefined
  const merged = yield* Recipe.mergeRecipe(given.recipe.value, directory, {
    threads: Option.getOrUndefined(given.threads),
    shardBytes,
    digests: !given.skipDigests,
    accept: yield* acceptedOf(given.accept),
    onReport: (report) => {
      told = report
      if (!given.json) process.stdout.write(`${Recipe.Report.render(report)}\n`)
    },
    onProgress: (phase, share) => {
      const what = phase === "hashing" ? "hashing the inputs" : "writing the result"
      if (!given.json) progress.say(`${what}: ${Progress.percent(share)}`)
    },
  }).pipe(Effect.ensuring(Effect.sync(progress.clear)))
  const seconds = (Date.now() - started) / 1000
  yield* print(
    given.json,
    {
      directory,
      tensors: merged.tensors.size,
      parameters: Checkpoint.parameterCount(merged),
      seconds,
      report: told,
    },
    () => `wrote ${directory}: ${merged.tensors.size} tensors in ${seconds.toFixed(1)} s`,
  )
})

/** Pre-flight only; it looks at the place of the result where that is given. */
export const planMerge = Effect.fnUntraced(function* (given: {
  readonly recipe: string
  readonly directory: Option.Option<string>
  readonly threads: Option.Option<number>
  readonly accept: Option.Option<string>
  readonly json: boolean
}) {
  const prepared = yield* Recipe.Prepared.fromFile(given.recipe, yield* acceptedOf(given.accept))
  const options = { threads: Option.getOrUndefined(given.threads) }
  const report = yield* Recipe.preflight(prepared, Option.getOrUndefined(given.directory), options)
  yield* print(given.json, report, () => Recipe.Report.render(report))
})

/** Inspects a checkpoint. */
export const inspect = Effect.fnUntraced(function* (given: {
  readonly model: string
  readonly strict: boolean
  readonly json: boolean
}) {
  // Values are read with --strict alone; without it a model of the Hub keeps its weights.
  const open = given.strict ? Hub.openPath : Hub.inspectPath
  const found = yield* Tools.Inspect.inspect(yield* open(given.model), { values: given.strict })
  yield* print(given.json, found, () => Tools.Inspect.render(found))
  const [first] = found.oddities
  if (given.strict && first !== undefined) {
    const more = found.oddities.length === 1 ? "" : ` (and ${found.oddities.length - 1} more)`
    return yield* new OddError({ model: given.model, problem: `${first}${more}` })
  }
})

/** Compares two checkpoints. */
export const compare = Effect.fnUntraced(function* (given: {
  readonly first: string
  readonly second: string
  readonly json: boolean
}) {
  const [a, b] = [yield* Hub.openPath(given.first), yield* Hub.openPath(given.second)]
  const comparison = yield* Tools.Compare.compare(a, b)
  yield* print(given.json, comparison, () => Tools.Compare.render(comparison))
  const problem = Tools.Compare.gap(comparison)
  if (problem !== undefined) return yield* new OddError({ model: `${given.first}, ${given.second}`, problem })
})

/** Extracts an adapter. */
export const extractLora = Effect.fnUntraced(function* (given: {
  readonly base: string
  readonly model: string
  readonly directory: string
  readonly rank: number
  readonly skipVocabulary: boolean
  readonly json: boolean
}) {
  const [base, model] = [yield* Hub.openPath(given.base), yield* Hub.openPath(given.model)]
  const { name, revision } = Hub.nameOf(given.base)
  const extraction = yield* Tools.extractLora(base, model, given.rank, given.directory, {
    baseName: name,
    baseRevision: revision,
    skipVocabulary: given.skipVocabulary,
  })
  yield* print(given.json, extraction, () => extractionText(extraction, given.directory))
})

const percent = (share: number) => `${(100 * share).toPrecision(3)} %`

const extractionText = ({ held, layers, leftOut }: Tools.Extraction, directory: string) => {
  const byReason = new Map<string, Array<Tools.Extraction["leftOut"][number]>>()
  for (const left of leftOut) byReason.set(left.reason, [...entryOr(byReason, left.reason, []), left])
  return [
    Recipe.Report.table([
      ["layer", "rank", "error"],
      ...layers.map(({ error, rank, tensor }) => [tensor, String(rank), error.toFixed(4)]),
    ]),
    ...[...byReason].map(([reason, of]) => {
      const names = of.map(({ tensor }) => tensor)
      const few =
        names.length > 4 ? `${names.slice(0, 4).join(", ")} and ${names.length - 4} more` : names.join(", ")
      const known = of.flatMap(({ share }) => (share === undefined ? [] : [share]))
      const sum = known.reduce((total, share) => total + share, 0)
      const share = known.length < of.length ? "not comparable" : `${percent(sum)} of the difference's energy`
      return `left out, though it differs: ${few} (${reason}; ${share})`
    }),
    `wrote ${directory}: the adapter holds ${percent(held)} of the difference's energy; error is what the rank loses of each difference, 0 to 1`,
  ].join("\n")
}

/** Uploads a checkpoint. */
export const push = Effect.fnUntraced(function* (given: {
  readonly directory: string
  readonly repo: string
  readonly private: boolean
  readonly revision: Option.Option<string>
  readonly json: boolean
}) {
  const { directory, private: isPrivate, repo } = given
  const sent = yield* Downloads.shown(
    Hub.push({ directory, repo, private: isPrivate, revision: Option.getOrUndefined(given.revision) }),
    process.stdout,
    200,
    "sending",
  )
  yield* print(
    given.json,
    sent,
    () =>
      `pushed ${sent.files} files (${(sent.bytes / 1e6).toFixed(1)} MB) as ${sent.commit.slice(0, 7)}: ${sent.url}`,
  )
})
