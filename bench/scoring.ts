/**
 * What importance costs: `npm run bench:scoring -- [--dir <scratch>] [--layers-sampled 6] [--rounds 2] [--only micro]`.
 *
 * On a random Llama of 24 layers and 504 units: `revert` by passes through all layers of the graph that holds base and
 * expert, a pass per unit, against `revert` as it is measured, from the residual stream kept before each unit's layer;
 * and `pathIntegrated` against both. `revert` runs on a sample of layers spread evenly from first to last, in both ways
 * the same, and is scaled up by units; what is scaled is said. Every way opens its own models, which counts. On the
 * micro and the realtext family everything runs whole, with the agreement of the two methods on golden data that neither
 * saw before. Times are on the clock and of all CPUs together, ways in turns; of each, the run that took least of the
 * CPUs counts.
 */
import { Micro } from "@hila/eval"
import {
  CausalModel,
  Checkpoint,
  type Example,
  InterpolatedGates,
  InterpolatedModel,
  Runtime,
  Unit,
} from "@hila/model"
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
    only: { type: "string" },
  },
})
const [sampled, rounds] = [Number(args["layers-sampled"]), Number(args.rounds)]

type Input = Parameters<typeof Importance.values>[0]

/** What something took: on the clock, and of all CPUs together, which other work on the machine changes less. */
interface Taken {
  readonly wall: number
  readonly cpu: number
}

const line = (label: string, ...cells: ReadonlyArray<string>) =>
  console.log(`  ${label.padEnd(46)}${cells.join("  ")}`)
const time = ({ cpu, wall }: Taken) => `${wall.toFixed(2)} s, ${cpu.toFixed(2)} CPU s`
const times = (a: Taken, b: Taken) =>
  `${(a.wall / b.wall).toFixed(3)} ×, ${(a.cpu / b.cpu).toFixed(3)} × in CPU s`
const plus = (a: Taken, b: Taken, scale = 1): Taken => ({
  wall: a.wall + scale * b.wall,
  cpu: a.cpu + scale * b.cpu,
})
const nothing: Taken = { wall: 0, cpu: 0 }

const taking = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const [begin, before] = [performance.now(), process.cpuUsage()]
  const result = yield* effect
  const { system, user } = process.cpuUsage(before)
  return { result, taken: { wall: (performance.now() - begin) / 1000, cpu: (system + user) / 1e6 } }
})

/** Runs several ways to the same numbers in turns, so that what else the machine does hits all; the fastest of each. */
const race = Effect.fnUntraced(function* <A, E, R>(
  ways: ReadonlyArray<Effect.Effect<{ readonly result: A; readonly taken: Taken }, E, R>>,
) {
  const runs = yield* Effect.forEach(Array.from({ length: rounds }), () => Effect.all(ways))
  return ways.map((_, i) =>
    runs.map((run) => run[i]!).reduce((best, run) => (run.taken.cpu < best.taken.cpu ? run : best)),
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
  const { base, expert, golden, quadrature, units } = task
  const layers = new Set(units.map(({ layer }) => layer)).size
  const passes = (method: Importance.Method) => {
    const of = { examples: golden.length, units: units.length, layers, quadrature }
    const { backward, forward, whole } = Importance.cost(method, { ...of, seed: 0 })
    const count = `${forward} forward${backward === 0 ? "" : `, ${backward} backward`}`
    return `${count}, the time of about ${Math.round(whole)} forward through all layers`
  }
  const tokens = golden.reduce((sum, example) => sum + example.tokens.length, 0)
  console.log(`${label}: ${units.length} units, ${golden.length} examples of ${tokens} tokens together`)
  line("passes of revert", passes("revert"))
  line(`passes of pathIntegrated, Q = ${quadrature}`, passes("pathIntegrated"))

  const scale = units.length / few.length
  const throughAll = Effect.gen(function* () {
    const opened = yield* taking(InterpolatedModel.open(base, expert))
    const delta = opened.result
    const ones = InterpolatedGates.filled(delta.shape, 1)
    const whole = yield* taking(delta.losses(golden, ones))
    const each = yield* taking(
      Effect.forEach(
        few,
        (unit) =>
          Effect.map(delta.losses(golden, InterpolatedGates.with(ones, delta.shape, unit, 0)), (losses) =>
            Array.from(losses, (loss, k) => loss - (whole.result[k] ?? NaN)),
          ),
        { concurrency: 4 },
      ),
    )
    return { result: each.result, taken: plus(plus(opened.taken, whole.taken), each.taken, scale) }
  }).pipe(Effect.scoped)
  const by = (method: Importance.Method, own: ReadonlyArray<Unit.Unit>) =>
    Effect.gen(function* () {
      const models = yield* Importance.models(base, expert, golden)
      const parts = yield* Importance.parts({ ...task, units: own }, models, method)
      const measured = yield* Effect.forEach(parts, (part) => part.measure, { concurrency: 4 })
      return Importance.combine(method, measured)
    }).pipe(
      Effect.scoped,
      taking,
      Effect.map(({ result, taken }) => ({
        result,
        taken: plus(nothing, taken, units.length / own.length),
      })),
    )
  const pass = Effect.gen(function* () {
    const alone = yield* CausalModel.open(expert)
    return yield* taking(alone.losses(golden))
  }).pipe(Effect.scoped)
  const scaled = scale === 1 ? "" : `(${few.length} units measured, times ${scale.toFixed(2)})`
  const [slow, reused] = yield* race([throughAll, by("revert", few)])
  const path = (yield* race([by("pathIntegrated", units)]))[0]!
  const plain = (yield* race([pass]))[0]!
  const largest = Math.max(
    ...slow!.result.flatMap((own, u) => own.map((value, k) => Math.abs(value - reused!.result[u]![k]!))),
  )
  line("revert, every pass through all layers", time(slow!.taken), scaled)
  line("revert from the kept stream", time(reused!.taken), scaled)
  line("  of it (goal ≤ 0.6)", times(reused!.taken, slow!.taken))
  line(
    "  of as many plain passes of the expert alone",
    times(reused!.taken, plus(nothing, plain.taken, units.length)),
  )
  line("  largest difference of a value", `${largest.toExponential(1)} nats`)
  line("pathIntegrated, all units", time(path.taken))
  line("  of revert through all layers (goal ≤ 0.1)", times(path.taken, slow!.taken))
  line("  of revert from the kept stream", times(path.taken, reused!.taken))
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
  const teacher = yield* CausalModel.open(expert)
  const questions = yield* Micro.questions({ domain, side: "heldOut", seed: 0, skip: 0, take: 64 })
  return yield* Golden.generate(teacher, questions, { maxTokens: 32, stop: ["\n"] })
})

/** The expert's own answers that the reference scores were made with. */
const recorded = Effect.fnUntraced(function* (name: string) {
  const text = yield* Effect.promise(() => readFile(new URL(`oracles/scoring/${name}.json`, shared), "utf8"))
  return (JSON.parse(text) as { readonly samples: ReadonlyArray<Example.Example> }).samples
})

const shared = new URL("../../shared/", import.meta.url)

const wanted = (name: string) => args.only === undefined || args.only === name

const families = Effect.gen(function* () {
  const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/micro/${name}`, import.meta.url))
  for (const domain of ["math", "code", "lang"] as const) {
    if (!wanted("micro")) break
    yield* family(`micro ${domain}, held-out questions`, [fixture("base"), fixture(domain)], (expert) =>
      held(expert, domain),
    )
  }
  if (!wanted("realtext")) return
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
      if (wanted("random")) yield* random(scratch)
      yield* families
    }).pipe(Effect.provide(Runtime.layer)),
  )
} finally {
  await rm(scratch, { recursive: true, force: true })
}
