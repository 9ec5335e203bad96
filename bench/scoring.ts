/**
 * What importance costs: `npm run bench:scoring -- [--dir <scratch>] [--layers-sampled 4] [--rounds 2]`.
 *
 * On a random Llama of 24 layers and 408 units: `revert` from the whole graph (a pass through all layers per unit)
 * against from the stream kept before each unit's layer, and `pathIntegrated` against `revert`. The slow sides run on a
 * sample of layers spread evenly from first to last and are scaled up by units; what is scaled is said. On the micro
 * family everything runs whole, with the agreement of the two methods on golden data that neither saw before.
 */
import { Micro } from "@hila/eval"
import { Checkpoint, DeltaGates, type Example, LanguageModel, Unit } from "@hila/model"
import { Golden, Importance, Ranking, Statistics } from "@hila/scoring"
import * as Effect from "effect/Effect"
import { mkdtemp, rm } from "node:fs/promises"
import { availableParallelism, cpus, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as RandomCheckpoint from "../packages/model/test/support/randomCheckpoint.ts"

const { values: args } = parseArgs({
  options: {
    dir: { type: "string", default: tmpdir() },
    "layers-sampled": { type: "string", default: "4" },
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
  for (const way of ways) yield* way
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
  const passes = (method: Importance.Method) => {
    const { backward, forward } = Importance.cost(method, {
      examples: golden.length,
      units: units.length,
      quadrature,
    })
    return `${forward} forward${backward === 0 ? "" : `, ${backward} backward`}`
  }
  const tokens = golden.reduce((sum, example) => sum + example.tokens.length, 0)
  console.log(`${label}: ${units.length} units, ${golden.length} examples of ${tokens} tokens together`)
  line("passes of revert", passes("revert"))
  line(`passes of pathIntegrated, Q = ${quadrature}`, passes("pathIntegrated"))

  const models = yield* Importance.models(task.base, task.expert, golden)
  const { expert } = yield* models.references
  const delta = yield* models.delta
  const ones = DeltaGates.filled(delta.shape, 1)
  const whole = Effect.forEach(
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
  const memory = 2 ** 31 + 12 * Checkpoint.parameterCount(task.expert)
  const blocks = yield* (yield* LanguageModel).openDeltaBlocks(task.base, task.expert, { memory })
  const inputs = golden.map(({ tokens: own }) => own.slice(0, -1))
  const fromStream = Effect.gen(function* () {
    const found: Array<ReadonlyArray<number>> = []
    for (const [layer, own] of Map.groupBy(few, (unit) => unit.layer)) {
      const stream = yield* blocks.hidden(inputs, layer, ones)
      const settings = own.map((unit) => DeltaGates.with(ones, delta.shape, unit, 0))
      const losses = yield* blocks.lossesFrom(stream, golden, settings)
      found.push(...losses.map((values) => Array.from(values, (loss, k) => loss - (expert[k] ?? NaN))))
    }
    return found
  })
  const [slow, reused] = yield* race([whole, fromStream])
  const path = (yield* race([by("pathIntegrated", units)]))[0]!
  const largest = Math.max(
    ...slow!.result.flatMap((own, u) => own.map((value, k) => Math.abs(value - reused!.result[u]![k]!))),
  )
  line("revert, every pass through all layers", time(slow!.seconds * scale), scaled)
  line("revert from the kept stream", time(reused!.seconds * scale), scaled)
  line("  of it (goal ≤ 0.6)", times(reused!.seconds / slow!.seconds))
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
    hiddenSize: 256,
    intermediateSize: 512,
    heads: 16,
    kvHeads: 16,
    vocabSize: 1024,
    tied: true,
  }
  const base = yield* RandomCheckpoint.write(join(scratch, "base"), { ...shape, seed: 1 })
  const expert = yield* RandomCheckpoint.write(join(scratch, "expert"), { ...shape, seed: 2 })
  const golden = Array.from({ length: 8 }, (_, row): Example.Example => ({
    prompt: "",
    response: "",
    tokens: Array.from({ length: 33 }, (_token, i) => 16 + (((row + 1) * 7919 + i * 104_729) % 1000)),
    promptLength: 17,
  }))
  const { units } = yield* Unit.partition(expert, "kvGroup")
  const task = { base, expert, golden, units, seed: 0, quadrature: 8 }
  yield* measure("Llama of 24 layers, random weights", task, spread(units, layers, sampled))
}, Effect.scoped)

const micro = Effect.fnUntraced(function* (domain: "math" | "code" | "lang") {
  const open = (name: string) =>
    Checkpoint.open(fileURLToPath(new URL(`../fixtures/micro/${name}`, import.meta.url)))
  const [base, expert] = [yield* open("base"), yield* open(domain)]
  const teacher = yield* (yield* LanguageModel).open(expert)
  const questions = yield* Micro.questions({ domain, side: "heldOut", seed: 0, skip: 0, take: 64 })
  const golden = yield* Golden.generate(teacher, questions, { maxTokens: 32, stop: ["\n"] })
  const { units } = yield* Unit.partition(expert, "kvGroup")
  const task = { base, expert, golden, units, seed: 0, quadrature: 8 }
  const { path, revert } = yield* measure(`micro ${domain}, held-out questions`, task, units)
  const means = (values: typeof path) => values.map(Statistics.mean)
  line("Spearman of the two methods (goal ≥ 0.9)", Ranking.spearman(means(revert), means(path)).toFixed(3))
}, Effect.scoped)

const scratch = await mkdtemp(join(args.dir, "hila-bench-scoring-"))
try {
  console.log(`Node ${process.version}, ${cpus()[0]?.model ?? "?"}, ${availableParallelism()} CPUs`)
  await Effect.runPromise(
    Effect.gen(function* () {
      yield* random(scratch)
      for (const domain of ["math", "code", "lang"] as const) yield* micro(domain)
    }).pipe(Effect.provide(LanguageModel.layer)),
  )
} finally {
  await rm(scratch, { recursive: true, force: true })
}
