/**
 * How fast tasks are scored: `npm run bench:eval -- [--model <directory>] [--data <directory>] [--tasks a,b] [--limit n]`.
 *
 * For each multiple-choice task, documents per second with requests shared (one forward pass for a context and its
 * one-token choices, longer choices following over its cache) and without (one pass for every choice), over the same
 * batches, in wall-clock and in processor time, which other work on the machine disturbs less; then the seconds from the start of `hila eval` to its first answer. By default the realtext base and data
 * beside the repository.
 */
import { Catalog, Evaluation, Requests, Task } from "@hila/eval"
import { CausalModel, Checkpoint, Runtime } from "@hila/model"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const beside = (path: string) => fileURLToPath(new URL(`../../shared/${path}`, import.meta.url))

const { values: args } = parseArgs({
  options: {
    model: { type: "string", default: beside("models/realtext/base") },
    data: { type: "string", default: beside("data") },
    tasks: { type: "string", default: "mmlu_high_school_geography,financial_tweets,arc_easy" },
    limit: { type: "string", default: "150" },
  },
})
const limit = Number(args.limit)

/** Milliseconds of an effect, and of processors over all threads, the smaller of two runs. */
const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const [walls, processors]: [Array<number>, Array<number>] = [[], []]
    for (let i = 0; i < 2; i++) {
      const begin = performance.now()
      const used = process.cpuUsage()
      yield* effect
      const { system, user } = process.cpuUsage(used)
      walls.push(performance.now() - begin)
      processors.push((user + system) / 1000)
    }
    return { wall: Math.min(...walls), processor: Math.min(...processors) }
  })

const throughput = Effect.gen(function* () {
  const model = yield* CausalModel.open(yield* Checkpoint.open(args.model))
  const { vocabulary } = yield* Requests.respondent(model, "bench")
  const { tasks } = yield* Catalog.select(args.tasks.split(","))
  for (const { config, file } of tasks) {
    const task = yield* Task.make(file, config)
    const { items } = yield* Evaluation.prepare(task, { data: args.data, limit })
    const pairs = items.flatMap(({ requests }) =>
      requests.filter((request) => request._tag === "LogLikelihood"),
    )
    const rows = yield* Requests.continued(vocabulary, pairs)
    const passes = new Set(rows.map(({ tokens }) => tokens.slice(0, -1).join(" "))).size
    const examples = rows.map(({ contextLength, tokens }) => ({
      prompt: "",
      response: "",
      tokens,
      promptLength: contextLength,
    }))
    const shared = yield* timed(model.logLikelihoods(rows))
    const apart = yield* timed(model.losses(examples))
    const rate = (milliseconds: number) => (items.length / (milliseconds / 1000)).toFixed(1).padStart(8)
    console.log(
      `${task.name.padEnd(28)} ${items.length} documents, ${rows.length} requests, ${passes} passes:` +
        `${rate(shared.wall)} documents/s shared,${rate(apart.wall)} apart ` +
        `(${(apart.wall / shared.wall).toFixed(2)}×, processor ${(apart.processor / shared.processor).toFixed(2)}×)`,
    )
  }
}).pipe(Effect.scoped, Effect.provide(Runtime.layer))

/** Seconds from the start of the command to its first answer. */
const firstAnswer = () =>
  new Promise<number>((resolve, reject) => {
    const output = mkdtempSync(join(tmpdir(), "hila-bench-"))
    const bin = fileURLToPath(new URL("../packages/cli/bin/hila.mjs", import.meta.url))
    const [task = ""] = args.tasks.split(",")
    const begin = performance.now()
    const child = spawn(
      process.execPath,
      [
        bin,
        "eval",
        args.model,
        "--tasks",
        task,
        "--data",
        args.data,
        "--limit",
        "1",
        "--output",
        output,
        "--json",
      ],
      { stdio: ["ignore", "pipe", "inherit"] },
    )
    let seconds = Number.NaN
    child.stdout.on("data", (chunk: Buffer) => {
      if (Number.isNaN(seconds) && /"done":[1-9]/.test(chunk.toString())) {
        seconds = (performance.now() - begin) / 1000
      }
    })
    child.on("exit", (code) => {
      rmSync(output, { recursive: true })
      if (code === 0) resolve(seconds)
      else reject(new Error(`hila eval ended with ${code}`))
    })
  })

await Effect.runPromise(throughput)
const starts = [await firstAnswer(), await firstAnswer(), await firstAnswer()]
console.log(`start to first answer: ${Math.min(...starts).toFixed(2)} s (of ${starts.length})`)
