/**
 * What the engine itself costs: `npm run bench:core [-- --small]`.
 *
 * A thousand stages with nothing to do, gigabytes of unchanged sources, and the publication of one large file, each
 * beside what it cannot avoid. Every measurement of a run or a plan is made in a process of its own, after start-up.
 * Needs 10 GB below the temporary directory (its sources are sparse files; `--small` takes a tenth).
 */
import { Artifact, Plan, Run, Source, Stage, Store } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const GiB = 2 ** 30
const [job, directory = ""] = process.argv.slice(2)
const isSmall = process.argv.includes("--small")
const scale = isSmall ? 0.1 : 1

const timed = async (call: () => Promise<unknown>): Promise<number> => {
  const start = performance.now()
  await call()
  return (performance.now() - start) / 1000
}

/** Wall and processor seconds; on a busy machine only the second says what the engine costs. */
const measured = async (call: () => Promise<unknown>): Promise<Measure> => {
  const before = process.cpuUsage()
  const wall = await timed(call)
  const { system, user } = process.cpuUsage(before)
  return { wall, cpu: (system + user) / 1e6 }
}

interface Measure {
  readonly wall: number
  readonly cpu: number
}

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const on = <A, E>(effect: Effect.Effect<A, E, Store>) =>
  Effect.runPromise(Effect.provide(effect, Store.layer(join(directory, "store"))))

/** A hundred rows of ten: each stage takes two of the row above, so that the graph is neither a chain nor flat. */
const thousand = () => {
  const Numbers = Artifact.json("numbers", Schema.Array(Schema.Finite))
  const step = Stage.make({
    name: "step",
    version: 1,
    inputs: { a: Numbers, b: Numbers },
    params: { row: Schema.Int, column: Schema.Int },
    output: Numbers,
    run: ({ a, b }, { column, row }) => Effect.succeed([row, column, a.length + b.length]),
  })
  const first = Source.value(Numbers, [0])
  let above = Array.from({ length: 10 }, (_, column) => step({ a: first, b: first }, { row: 0, column }))
  for (let row = 1; row < 100; row++) {
    const last = above
    above = last.map((a, column) => step({ a, b: last[(column + 1) % 10] ?? a }, { row, column }))
  }
  return Object.fromEntries(above.map((node, column) => [`out${column}`, node]))
}

const sources = () => {
  const Files = Artifact.directory("weights")
  const count = Stage.make({
    name: "count",
    version: 1,
    inputs: { weights: Files },
    output: Artifact.json("count", Schema.Int),
    run: ({ weights }) => Effect.succeed(Object.keys(weights.files).length),
  })
  return { count: count({ weights: Source.directory(join(directory, "weights"), Files) }) }
}

/** What a process of its own measures. */
const jobs: Readonly<Record<string, () => Promise<unknown>>> = {
  run: () => on(Run.outputs(thousand())),
  plan: () => on(Plan.make(thousand())),
  sources: () => on(Plan.make(sources())),
  runSources: () => on(Run.outputs(sources())),
}

/** The naive way. */
const sha256sum = "sha256sum"

const self = fileURLToPath(import.meta.url)

/** A job in a process of its own, the median of several. */
const measure = (name: string, at: string, times = 5): Measure => {
  const args = ["--conditions=@hila/source", "--disable-warning=ExperimentalWarning", self, name, at]
  const all = Array.from({ length: times }, (): Measure =>
    JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })),
  )
  return { wall: median(all.map(({ wall }) => wall)), cpu: median(all.map(({ cpu }) => cpu)) }
}

const block = Buffer.alloc(8 << 20, "hila")

/** Writes a file of some bytes; `sync` waits until they are on the disk. */
const write = async (path: string, bytes: number, sync: boolean): Promise<void> => {
  const handle = await open(path, "wx")
  for (let at = 0; at < bytes; at += block.length) await handle.write(block)
  if (sync) await handle.sync()
  await handle.close()
}

const line = (what: string, seconds: number, bound: number, note = "") =>
  console.log(
    `${what.padEnd(46)} ${seconds.toFixed(3).padStart(8)} s   bound ${bound.toFixed(3)} s   ${seconds <= bound ? "ok" : "OVER"}${note}`,
  )

const publication = async (root: string, bytes: number) => {
  const plain: Array<number> = []
  const sums: Array<number> = []
  const published: Array<number> = []
  for (let round = 0; round < 3; round++) {
    const path = join(root, `plain-${round}`)
    plain.push(await timed(() => write(path, bytes, true)))
    sums.push(await timed(async () => execFileSync(sha256sum, [path])))
    await rm(path)
    const store = join(root, `store-${round}`)
    await Effect.runPromise(
      Effect.gen(function* () {
        const { publish, scratch } = yield* Store
        const at = join(yield* scratch, "value")
        const seconds = yield* Effect.promise(() => timed(() => write(at, bytes, false)))
        const rest = yield* Effect.promise(() => timed(() => Effect.runPromise(publish(at))))
        published.push(seconds + rest)
      }).pipe(Effect.scoped, Effect.provide(Store.layer(store))),
    )
    await rm(store, { recursive: true })
  }
  return { plain: median(plain), sum: median(sums), published: median(published) }
}

const main = async () => {
  const root = await mkdtemp(join(tmpdir(), "hila-bench-"))
  try {
    await mkdir(join(root, "weights"))
    console.log(`filling a store with 1,000 stages: ${measure("run", root, 1).wall.toFixed(1)} s`)
    const cpu = (one: Measure) => ` (processor ${one.cpu.toFixed(3)} s)`
    const [run, plan] = [measure("run", root), measure("plan", root)]
    line("run of 1,000 stages, nothing to do", run.wall, 0.3, cpu(run))
    line("plan of 1,000 stages, nothing to do", plan.wall, 0.1, cpu(plan))

    const size = Math.round(GiB * scale)
    for (let index = 0; index < 10; index++) {
      const path = join(root, "weights", `model-${index}.safetensors`)
      await writeFile(path, String(index))
      await truncate(path, size)
    }
    // A file changed a moment ago is not trusted to stay as it is.
    await new Promise((resolve) => setTimeout(resolve, 2500))
    const first = measure("runSources", root, 1).wall
    const again = measure("sources", root).wall
    line(`plan over ${(10 * scale).toFixed(0)} GiB of unchanged sources`, again, 0.5)
    const naive = await timed(async () =>
      execFileSync(
        sha256sum,
        Array.from({ length: 10 }, (_, i) => join(root, "weights", `model-${i}.safetensors`)),
      ),
    )
    console.log(
      `  the first time ${first.toFixed(1)} s; hashing them all again (sha256sum) ${naive.toFixed(1)} s: ${Math.round(naive / again)} times as long`,
    )

    const bytes = Math.round(4 * GiB * scale)
    const { plain, published, sum } = await publication(root, bytes)
    const note = ` (write and fsync ${plain.toFixed(2)} s, sha256sum ${sum.toFixed(2)} s; ratio ${(published / (plain + sum)).toFixed(2)})`
    line(`write and publish ${(4 * scale).toFixed(1)} GiB`, published, 1.15 * (plain + sum), note)
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

const chosen = jobs[job ?? ""]
if (chosen === undefined) await main()
else process.stdout.write(JSON.stringify(await measured(chosen)))
