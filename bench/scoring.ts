/**
 * What importance costs: `npm run bench:scoring -- [--dir <scratch>] [--layers-sampled 6] [--rounds 2]`.
 *
 * On a random Llama of 24 layers and 504 units: `revert` by passes through all layers of the graph that holds base and
 * expert, a pass per unit, against `revert` as it is measured, from the residual stream kept before each unit's layer;
 * and `pathIntegrated` against both. `revert` runs on a sample of layers spread evenly from first to last, in both ways
 * the same, and is scaled up by units; what is scaled is said. Opening the sessions of the layers counts, opening whole
 * models does not. On the micro and the realtext family everything runs whole, with the agreement of the two methods on
 * golden data that neither saw before. Ratios are of one run, ways in turns; the fastest of each counts.
 */
import { Micro } from "@hila/eval"
import { Checkpoint, DeltaGates, type Example, LanguageModel, Unit } from "@hila/model"
import { Golden, Importance, Ranking, Statistics } from "@hila/scoring"
import * as Effect from "effect/Effect"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { availableParallelism, cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as RandomCheckpoint from "../packages/model/test/support/randomCheckpoint.ts"

const { values: args } = parseArgs({
  options: {
    dir: { type: "string", default: tmpdir() },
    "layers-sampled": { type: "string", default: "6" },
    rounds: { type: "string", default: "2" },
  },
})
const [sampled, rounds] = [Number(args["layers-sampled"]), Number(args.rounds)]

type Input = Parameters<typeof Importance.values>[0]

const line = (label: string, ...cells: ReadonlyArray<string>) =>
  console.log(`  ${label.padEnd(46)}${cells.join("  ")}`)
const time = (seconds: number) => `${seconds.toFixed(2)} s`
const times = (value: number) => `${value.toFixed(3)} ×`

const seconds = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const begin = performance.now()
  const result = yield* effect
  return { result, seconds: (performance.now() - begin) / 1000 }
})

/** Times several ways to the same numbers in turns, so that what else the machine does hits all; the fastest of each. */
const race = Effect.fnUntraced(function* <A, E, R>(ways: ReadonlyArray<Effect.Effect<A, E, R>>) {
  const runs = yield* Effect.forEach(Array.from({ length: rounds }), () =>
    Effect.forEach(ways, (way) => seconds(way)),
  )
  return ways.map((_, i) =>
    runs.map((run) => run[i]!).reduce((best, run) => (run.seconds < best.seconds ? run : best)),
  )
})

/** Units of so many layers, spread evenly from the first to the last: their mean depth is that of all. */
const spread = (units: ReadonlyArray<Unit.Unit>, layers: number, count: number) => {
  const wanted = new Set(
    Array.from({ length: count }, (_, i) => Math.round((i * (layers - 1)) / Math.max(1, count - 1))),
  )
  return units.filter(({ layer }) => wanted.has(layer))
}

const measure = Effect.fnUntraced(function* (label: string, task: Input, few: ReadonlyArray<Unit.Unit>) {
  const { golden, quadrature, units } = task
  const layers = new Set(units.map(({ layer }) => layer)).size
  const passes = (method: Importance.Method) => {
    const of = { examples: golden.length, units: units.length, layers, quadrature }
    const { backward, forward, whole } = Importance.cost(method, of)
    const count = `${forward} forward${backward === 0 ? "" : `, ${backward} backward`}`
    return `${count}, the time of about ${Math.round(whole)} forward through all layers`
  }
  const tokens = golden.reduce((sum, example) => sum + example.tokens.length, 0)
  console.log(`${label}: ${units.length} units, ${golden.length} examples of ${tokens} tokens together`)
  line("passes of revert", passes("revert"))
  line(`passes of pathIntegrated, Q = ${quadrature}`, passes("pathIntegrated"))

  const models = yield* Importance.models(task.base, task.expert, golden)
  const delta = yield* models.delta
  const ones = DeltaGates.filled(delta.shape, 1)
  const expert = yield* delta.losses(golden, ones)
  const throughAll = Effect.forEach(
    few,
    (unit) =>
      Effect.map(delta.losses(golden, DeltaGates.with(ones, delta.shape, unit, 0)), (losses) =>
        Array.from(losses, (loss, k) => loss - (expert[k] ?? NaN)),
      ),
    { concurrency: 4 },
  )
  const by = (method: Importance.Method, own: ReadonlyArray<Unit.Unit>) =>
    Effect.gen(function* () {
      const parts = yield* Importance.parts({ ...task, units: own }, models, method)
      const measured = yield* Effect.forEach(parts, (part) => part.measure, { concurrency: 4 })
      return Importance.combine(method, measured)
    })
  const scale = units.length / few.length
  const scaled = scale === 1 ? "" : `(${few.length} units measured, times ${scale.toFixed(2)})`
  const alone = yield* models.expert
  // Streams, and the loss of the expert, are once for all units.
  yield* by("revert", few.slice(-1))
  yield* by("pathIntegrated", few.slice(0, 1))
  const [slow, reused] = yield* race([throughAll, by("revert", few)])
  const path = (yield* race([by("pathIntegrated", units)]))[0]!
  const pass = (yield* race([alone.losses(golden)]))[0]!
  const largest = Math.max(
    ...slow!.result.flatMap((own, u) => own.map((value, k) => Math.abs(value - reused!.result[u]![k]!))),
  )
  line("revert, every pass through all layers", time(slow!.seconds * scale), scaled)
  line("revert from the kept stream", time(reused!.seconds * scale), scaled)
  line("  of it (goal ≤ 0.6)", times(reused!.seconds / slow!.seconds))
  line("  of as many plain passes of the expert alone", times(reused!.seconds / (pass.seconds * few.length)))
  line("  largest difference of a value", `${largest.toExponential(1)} nats`)
  line("pathIntegrated, all units", time(path.seconds))
  line("  of revert through all layers (goal ≤ 0.1)", times(path.seconds / (slow!.seconds * scale)))
  line("  of revert from the kept stream", times(path.seconds / (reused!.seconds * scale)))
  return { revert: reused!.result, path: path.result }
})

const random = Effect.fnUntraced(function* (scratch: string) {
  const layers = 24
  const shape = {
    layers,
    hiddenSize: 384,
    intermediateSize: 1024,
    heads: 16,
    kvHeads: 4,
    vocabSize: 2048,
    tied: true,
  }
  const base = yield* RandomCheckpoint.write(join(scratch, "base"), { ...shape, seed: 1 })
  const expert = yield* RandomCheckpoint.write(join(scratch, "expert"), { ...shape, seed: 2 })
  const golden = Array.from({ length: 16 }, (_, row): Example.Example => ({
    prompt: "",
    response: "",
    tokens: Array.from({ length: 49 }, (_token, i) => 16 + (((row + 1) * 7919 + i * 104_729) % 1000)),
    promptLength: 25,
  }))
  const { units } = yield* Unit.partition(expert, "queryHead")
  const task = { base, expert, golden, units, seed: 0, quadrature: 8 }
  yield* measure("Llama of 24 layers, random weights", task, spread(units, layers, sampled))
}, Effect.scoped)

const family = Effect.fnUntraced(function* (
  label: string,
  [from, to]: readonly [base: string, expert: string],
  golden: (expert: Checkpoint.Checkpoint) => ReturnType<typeof held> | ReturnType<typeof recorded>,
) {
  const [base, expert] = [yield* Checkpoint.open(from), yield* Checkpoint.open(to)]
  const { units } = yield* Unit.partition(expert, "kvGroup")
  const task = { base, expert, golden: yield* golden(expert), units, seed: 0, quadrature: 8 }
  const { path, revert } = yield* measure(label, task, units)
  const means = (values: typeof path) => values.map(Statistics.mean)
  line("Spearman of the two methods (goal ≥ 0.9)", Ranking.spearman(means(revert), means(path)).toFixed(3))
}, Effect.scoped)

/** The expert's own answers to questions that were held out. */
const held = Effect.fnUntraced(function* (expert: Checkpoint.Checkpoint, domain: "math" | "code" | "lang") {
  const teacher = yield* (yield* LanguageModel).open(expert)
  const questions = yield* Micro.questions({ domain, side: "heldOut", seed: 0, skip: 0, take: 64 })
  return yield* Golden.generate(teacher, questions, { maxTokens: 32, stop: ["\n"] })
})

/** The expert's own answers that the reference scores were made with. */
const recorded = Effect.fnUntraced(function* (name: string) {
  const text = yield* Effect.promise(() => readFile(new URL(`oracles/scoring/${name}.json`, shared), "utf8"))
  return (JSON.parse(text) as { readonly samples: ReadonlyArray<Example.Example> }).samples
})

const shared = new URL("../../shared/", import.meta.url)

const families = Effect.gen(function* () {
  const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/micro/${name}`, import.meta.url))
  for (const domain of ["math", "code", "lang"] as const) {
    yield* family(`micro ${domain}, held-out questions`, [fixture("base"), fixture(domain)], (expert) =>
      held(expert, domain),
    )
  }
  if (!existsSync(shared)) {
    return yield* Effect.sync(() =>
      console.log("realtext: skipped, the reference material is not beside the repository"),
    )
  }
  const realtext = (name: string) => fileURLToPath(new URL(`models/realtext/${name}`, shared))
  for (const domain of ["med", "code", "zh"]) {
    yield* family(`realtext ${domain}, reference prompts`, [realtext("base"), realtext(domain)], () =>
      recorded(`realtext-${domain}`),
    )
  }
})

const scratch = await mkdtemp(join(args.dir, "hila-bench-scoring-"))
try {
  console.log(`Node ${process.version}, ${cpus()[0]?.model ?? "?"}, ${availableParallelism()} CPUs`)
  await Effect.runPromise(
    Effect.gen(function* () {
      yield* random(scratch)
      yield* families
    }).pipe(Effect.provide(LanguageModel.layer)),
  )
} finally {
  await rm(scratch, { recursive: true, force: true })
}
