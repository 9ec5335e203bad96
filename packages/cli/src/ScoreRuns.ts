/** What `hila score` and `hila scores` do. */
import { Digest, Source } from "@hila/core"
import { type Checkpoint, Hub, Runtime, Unit } from "@hila/model"
import { Conflict, GoldenFile, HeatMap, Importance, Ranking, Scores, Stages } from "@hila/scoring"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { readFile } from "node:fs/promises"
import { UsageError } from "./CliError.ts"
import * as Failure from "./Failure.ts"
import * as OutputFile from "./OutputFile.ts"
import * as SmallRun from "./SmallRun.ts"
import * as Stores from "./Stores.ts"
import * as Terminal from "./Terminal.ts"

/** A file of scores: what was measured, on which models and data, and every value. */
const File = Schema.Struct({
  format: Schema.Literal("hila/scores 1"),
  /** Digests: of the checkpoints' files and of the golden file. */
  base: Schema.String,
  expert: Schema.String,
  golden: Schema.String,
  seed: Schema.Int,
  scores: Scores.Scores,
})

const digestOf = (checkpoint: Checkpoint.Checkpoint) =>
  Effect.map(
    Effect.forEach(
      Object.entries(checkpoint.files).toSorted(([a], [b]) => (a < b ? -1 : 1)),
      ([name, path]) => Effect.map(Digest.ofFile(path), (digest) => `${name} ${digest}`),
    ),
    (lines) => Digest.of(lines.join("\n")),
  )

const picture = (scores: Scores.Scores) =>
  `${Scores.artifact.show(scores)}\n\n${Terminal.coloured(HeatMap.text(scores, { plain: !process.stdout.isTTY }))}`

/** What the work takes, in one line; none where a file is not what it should be, which the run itself tells better. */
const costLine = Effect.fnUntraced(
  function* (given: {
    readonly expert: string
    readonly golden: string
    readonly method: Importance.Method
    readonly scheme: Unit.UnitScheme
    readonly quadrature: number
    readonly seed: number
  }) {
    const { units } = yield* Unit.partition(yield* Hub.openPath(given.expert), given.scheme)
    const text = yield* Effect.tryPromise(() => readFile(given.golden, "utf8"))
    const examples = text.split("\n").filter((line) => line.trim() !== "").length
    const layers = new Set(units.map(({ layer }) => layer)).size
    const { quadrature, seed } = given
    const of = { examples, units: units.length, layers, quadrature, seed }
    const { backward, forward, whole } = Importance.cost(given.method, of)
    const passes = backward === 0 ? `${forward} forward` : `${forward} forward and ${backward} backward`
    const time =
      whole === 0 ? "" : `, the time of about ${Math.round(whole)} forward passes through all layers`
    return `  ${given.method} of ${units.length} units on ${examples} examples: ${passes} passes${time}`
  },
  Effect.orElseSucceed(() => undefined),
)

/** `hila score`: a pipeline of one stage, so that it is cached and resumes. */
export const score = Effect.fnUntraced(function* (given: {
  readonly base: string
  readonly expert: string
  readonly golden: string
  readonly method: Importance.Method
  readonly scheme: Unit.UnitScheme
  readonly seed: number
  readonly quadrature: number
  readonly output: Option.Option<string>
  readonly svg: Option.Option<string>
  readonly store: string
  readonly json: boolean
}) {
  const [base, expert] = [Hub.source(given.base), Hub.source(given.expert)]
  const lines = Source.file(given.golden, GoldenFile.artifact)
  const golden = Stages.examples({ expert, lines })
  const { method, quadrature, scheme, seed } = given
  const importance = Stages.importance({ base, expert, golden }, { method, scheme, seed, quadrature })
  const line = given.json ? undefined : yield* costLine(given)
  const { scores } = yield* Effect.provide(
    SmallRun.outputs(
      { scores: importance },
      { pipeline: "score", json: given.json, cost: { stage: "importance", line } },
    ),
    Layer.mergeAll(Runtime.layer, Stores.layer(given)),
  )
  if (Option.isSome(given.svg)) yield* OutputFile.write(given.svg.value, HeatMap.svg(scores))
  if (given.json || Option.isSome(given.output)) {
    const text = yield* encoded(given, scores)
    if (Option.isSome(given.output)) yield* OutputFile.write(given.output.value, `${text}\n`)
    if (given.json) return yield* Console.log(text)
  }
  yield* Console.log(picture(scores))
})

/** Scores as a file has them; every file they come from is read once more for its digest. */
const encoded = Effect.fnUntraced(function* (
  given: Record<"base" | "expert" | "golden", string> & { readonly seed: number },
  scores: Scores.Scores,
) {
  const file = yield* Schema.encodeEffect(File)({
    format: "hila/scores 1",
    base: yield* Effect.flatMap(Hub.openPath(given.base), digestOf),
    expert: yield* Effect.flatMap(Hub.openPath(given.expert), digestOf),
    golden: yield* Digest.ofFile(given.golden),
    seed: given.seed,
    scores,
  })
  return JSON.stringify(file)
})

/** `hila scores conflict`: a pipeline of one stage, so that it is cached and resumes. */
export const conflict = Effect.fnUntraced(function* (given: {
  readonly base: string
  readonly expert: string
  readonly merged: string
  readonly golden: string
  readonly coefficient: number
  readonly scheme: Unit.UnitScheme
  readonly output: Option.Option<string>
  readonly store: string
  readonly json: boolean
}) {
  const { coefficient, scheme } = given
  const [base, expert] = [Hub.source(given.base), Hub.source(given.expert)]
  const merged = Hub.source(given.merged)
  const golden = Stages.examples({ expert, lines: Source.file(given.golden, GoldenFile.artifact) })
  const node = Stages.conflict({ base, expert, merged, golden, importance: [] }, { scheme, coefficient })
  const { conflicts } = yield* Effect.provide(
    SmallRun.outputs({ conflicts: node }, { pipeline: "conflict", json: given.json }),
    Layer.mergeAll(Runtime.layer, Stores.layer(given)),
  )
  const text = `${JSON.stringify(conflicts)}\n`
  if (Option.isSome(given.output)) yield* OutputFile.write(given.output.value, text)
  yield* Console.log(given.json ? text.trimEnd() : Conflict.artifact.show(conflicts))
})

const read = (path: string) =>
  Effect.tryPromise({
    try: () => readFile(path, "utf8"),
    catch: () => new UsageError({ problem: `${path}: no such file of scores` }),
  }).pipe(
    Effect.flatMap((text) =>
      Effect.mapError(
        Schema.decodeUnknownEffect(Schema.fromJsonString(File))(text),
        (cause) =>
          new UsageError({ problem: `${path}: not a file of scores: ${Failure.oneLine(cause.message)}` }),
      ),
    ),
  )

/** `hila scores show`. */
export const show = Effect.fnUntraced(function* (given: {
  readonly scores: string
  readonly svg: Option.Option<string>
  readonly json: boolean
}) {
  const { scores } = yield* read(given.scores)
  if (Option.isSome(given.svg)) yield* OutputFile.write(given.svg.value, HeatMap.svg(scores))
  yield* Console.log(given.json ? JSON.stringify(scores) : picture(scores))
})

/** `hila scores compare`: ranks of the same units in two files, heads and MLPs together and apart. */
export const compare = Effect.fnUntraced(function* (given: {
  readonly first: string
  readonly second: string
  readonly top: Option.Option<number>
  readonly json: boolean
}) {
  const [a, b] = [yield* read(given.first), yield* read(given.second)]
  const other = new Map(b.scores.rows.map((row) => [row.unit, row.score]))
  const pairs = a.scores.rows.flatMap((row) => {
    const score = other.get(row.unit)
    return score === undefined ? [] : [{ kind: row.kind, first: row.score, second: score }]
  })
  if (pairs.length !== a.scores.rows.length || pairs.length !== other.size) {
    return yield* new UsageError({
      problem: `${given.first} has ${a.scores.rows.length} units and ${given.second} ${other.size}, of which ${pairs.length} are the same; compare scores of one scheme and model`,
    })
  }
  const measured = (
    [
      ["all units", () => true],
      ["heads", (kind: string) => kind !== "mlp" && kind !== "layer"],
      ["MLPs", (kind: string) => kind === "mlp"],
    ] as const
  ).flatMap(([name, wanted]) => {
    const own = pairs.filter(({ kind }) => wanted(kind))
    if (own.length === 0) return []
    const [first, second] = [own.map((pair) => pair.first), own.map((pair) => pair.second)]
    const k = Option.getOrElse(given.top, () => Math.max(1, Math.round(own.length / 4)))
    return [
      {
        name,
        units: own.length,
        spearman: Ranking.spearman(first, second),
        kendall: Ranking.kendall(first, second),
        top: Math.min(k, own.length),
        overlap: Ranking.topOverlap(first, second, k),
      },
    ]
  })
  yield* Console.log(
    given.json
      ? JSON.stringify(measured)
      : [
          `${a.scores.method} and ${b.scores.method}`,
          ...measured.map(
            ({ kendall, name, overlap, spearman, top, units }) =>
              `  ${name.padEnd(9)} ${String(units).padStart(4)} units  Spearman ${spearman.toFixed(3)}  Kendall ${kendall.toFixed(3)}  top ${top}: ${(overlap * 100).toFixed(0)} % shared`,
          ),
        ].join("\n"),
  )
})
