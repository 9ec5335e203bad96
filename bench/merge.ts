/**
 * How fast merging is, against copying: `npm run bench:merge -- [--params 1.24B] [--dir <scratch>] [--only ties,linear]`.
 *
 * Makes a base and three checkpoints of the Llama shape in a scratch directory, merges them by each method in a process
 * of its own, and prints seconds, processor seconds of all threads, bytes read and written per second, peak resident
 * memory beside what is stated beforehand, how much of the inputs the page cache held before, and the ratio to plain
 * copying: every input read once, one output written and synced, no reflink. Copying is measured before the methods, which
 * are compared with it, and again after them, which says how steady the disk was. The last columns are of the whole command,
 * with pre-flight, digests of the inputs, post-flight and card: seconds, their ratio to the engine's, and memory. Everything
 * is removed at the end; `--keep` leaves the inputs, and takes those that an earlier run left.
 */
import { fork, spawnSync } from "node:child_process"
import { access, mkdir, mkdtemp, open, rm, statfs, writeFile } from "node:fs/promises"
import { availableParallelism, freemem, tmpdir, totalmem } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { names, type Shape, shapeOf, writeModels } from "./merge/models.ts"

const { values: args } = parseArgs({
  options: {
    params: { type: "string", default: "1.24B" },
    dir: { type: "string", default: tmpdir() },
    only: { type: "string" },
    threads: { type: "string" },
    keep: { type: "boolean", default: false },
  },
})

const methods = ["linear", "task_arithmetic", "ties", "dare_ties", "della", "sce", "slerp"]
const GB = 1e9

interface Report {
  readonly seconds: number
  readonly bytes: number
  readonly peak: number
  /** The most memory that is stated beforehand; 0 where nothing is. */
  readonly bound: number
  /** Seconds of processor time, of all threads and the system. */
  readonly cpu: number
}

/** A merge in a process of its own: the time from its start to its end, and the most memory it had. */
const measure = (method: string, directory: string, what: "engine" | "command") =>
  new Promise<Report>((resolve, reject) => {
    const begin = performance.now()
    const child = fork(fileURLToPath(new URL("merge/once.ts", import.meta.url)), [
      method,
      directory,
      args.threads ?? "",
      what,
    ])
    let told: Omit<Report, "seconds"> | undefined
    child.on("message", (message) => {
      told = message as Omit<Report, "seconds">
    })
    child.on("exit", (code) => {
      const seconds = (performance.now() - begin) / 1000
      if (code === 0 && told !== undefined) resolve({ seconds, ...told })
      else reject(new Error(`${method} ended with ${code}`))
    })
  })

/** Of each file, how much memory holds and how long it is; the system may not have this program. */
const resident = ["fincore", "--bytes", "--noheadings", "--output", "RES,SIZE"] as const

/** Lets the disk finish what earlier steps left to it, and says how much of the files memory holds. */
const settle = (files: ReadonlyArray<string>): string => {
  spawnSync("sync")
  const told = spawnSync(resident[0], [...resident.slice(1), ...files], { encoding: "utf8" })
  if (told.error !== undefined || told.status !== 0) return "unknown"
  const sums = [0, 0]
  for (const line of told.stdout.trim().split("\n"))
    for (const [column, word] of line.trim().split(/\s+/).entries())
      sums[column] = sums[column]! + Number(word)
  return `${Math.round((100 * sums[0]!) / sums[1]!)} %`
}

/** Reads everything once, so that the page cache holds what it can. */
const warm = async (inputs: ReadonlyArray<string>): Promise<void> => {
  const buffer = Buffer.alloc(8 << 20)
  for (const input of inputs) {
    const file = await open(input, "r")
    while ((await file.read(buffer, 0, buffer.length, null)).bytesRead > 0);
    await file.close()
  }
}

/** Reads every input and writes one of them again, in pieces of 8 MiB; the next piece is read while one is written. */
const copy = async (inputs: ReadonlyArray<string>, output: string): Promise<Report> => {
  const begin = performance.now()
  const before = process.cpuUsage()
  const out = await open(output, "wx")
  let bytes = 0
  let writing: Promise<unknown> = Promise.resolve()
  const buffers = [Buffer.alloc(8 << 20), Buffer.alloc(8 << 20)]
  for (const [index, input] of inputs.entries()) {
    const file = await open(input, "r")
    for (let turn = 0; ; turn++) {
      const buffer = buffers[turn % 2]!
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) break
      bytes += bytesRead
      if (index > 0) continue
      await writing
      writing = out.write(buffer, 0, bytesRead)
      bytes += bytesRead
    }
    await writing
    await file.close()
  }
  await out.sync()
  await out.close()
  const { system, user } = process.cpuUsage(before)
  return { seconds: (performance.now() - begin) / 1000, bytes, peak: 0, bound: 0, cpu: (system + user) / 1e6 }
}

const headings = [
  "seconds",
  "CPU s",
  "GB/s",
  "peak/stated",
  "cached",
  "× copying",
  "command",
  "× engine",
  "peak/stated",
]

const cellsOf = (cells: ReadonlyArray<string>) => cells.map((cell) => cell.padStart(13)).join("")

const MiB = (bytes: number) => (bytes / 2 ** 20).toFixed(0)
const memoryOf = ({ bound, peak }: Report) => (peak === 0 ? "" : `${MiB(peak)}/${MiB(bound)} MiB`)

const row = (name: string, engine: Report, cached: string, copying: number, command?: Report) => {
  const { bytes, cpu, seconds } = engine
  const rate = bytes / GB / seconds
  const ratio = (seconds / copying).toFixed(2)
  const cells = [seconds.toFixed(1), cpu.toFixed(1), rate.toFixed(2), memoryOf(engine), cached, ratio]
  const whole =
    command === undefined
      ? []
      : [command.seconds.toFixed(1), (command.seconds / seconds).toFixed(2), memoryOf(command)]
  process.stdout.write(`${name.padEnd(22)}${cellsOf([...cells, ...whole])}\n`)
}

const gigabytes = (bytes: number) => `${(bytes / GB).toFixed(1)} GB`

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

/** The inputs, made or kept from before. */
const inputsOf = async (directory: string, shape: Shape): Promise<ReadonlyArray<string>> => {
  const mark = join(directory, "complete")
  if (!(await exists(mark))) {
    await rm(directory, { recursive: true, force: true })
    await writeModels(directory, shape)
    await writeFile(mark, "")
  }
  return names.map((name) => join(directory, name, "model.safetensors"))
}

/** Merges of one shape by some methods. */
const series = async (directory: string, shape: Shape, wanted: ReadonlyArray<string>, suffix = "") => {
  const begin = performance.now()
  const files = await inputsOf(directory, shape)
  const seconds = ((performance.now() - begin) / 1000).toFixed(0)
  process.stdout.write(
    `base + 3 checkpoints of ${(shape.parameters / 1e9).toFixed(2)} B parameters, bf16, made in ${seconds} s\n`,
  )
  process.stdout.write(`${"".padEnd(22)}${cellsOf(headings)}\n`)
  // What does not fit into memory is not kept there by one more reading.
  if (8 * shape.parameters < 0.6 * totalmem()) await warm(files)
  const copied = join(directory, "copy.bin")
  const copyOnce = async () => {
    const cached = settle(files)
    const report = await copy(files, copied)
    await rm(copied)
    return { report, cached }
  }
  const first = await copyOnce()
  const copying = first.report.seconds
  row(`copying${suffix}`, first.report, first.cached, copying)
  const merged = join(directory, "merged")
  await rm(merged, { recursive: true, force: true })
  for (const method of wanted) {
    const cached = settle(files)
    const engine = await measure(method, directory, "engine")
    await rm(merged, { recursive: true })
    settle(files)
    const command = await measure(method, directory, "command")
    await rm(merged, { recursive: true })
    row(`${method}${suffix}`, engine, cached, copying, command)
  }
  const last = await copyOnce()
  row(`copying again${suffix}`, last.report, last.cached, copying)
}

const main = async () => {
  const shape = shapeOf(args.params)
  const wanted = args.only?.split(",") ?? methods
  await mkdir(args.dir, { recursive: true })
  const kept = join(args.dir, `hila-bench-merge-${args.params}`)
  const directory = args.keep ? kept : await mkdtemp(join(args.dir, "hila-bench-merge-"))
  await mkdir(directory, { recursive: true })
  const clear = () => (args.keep ? Promise.resolve() : rm(directory, { recursive: true, force: true }))
  process.once("SIGINT", () => void clear().then(() => process.exit(130)))
  try {
    const { bavail, bsize } = await statfs(directory)
    const free = bavail * bsize
    process.stdout.write(
      `${availableParallelism()} processors, ${gigabytes(totalmem())} of memory (${gigabytes(freemem())} free), ${gigabytes(free)} of disk free\n`,
    )
    const need = 5.5 * 2 * shape.parameters
    if (free < need) {
      process.stdout.write(
        `skipped: needs ${gigabytes(need)} of free disk in ${directory}; choose another --dir\n`,
      )
      return
    }
    await series(join(directory, "one"), shape, wanted)
    if (args.only !== undefined) return
    if (!args.keep) await rm(join(directory, "one"), { recursive: true })
    const deep = shapeOf(args.params, 4)
    if (free < 60 * GB || free < 5.5 * 2 * deep.parameters) {
      process.stdout.write("four times the depth: skipped, needs 60 GB of free disk\n")
      return
    }
    process.stdout.write("\nfour times the depth:\n")
    await series(join(directory, "four"), deep, ["linear", "ties"], " (4 × deep)")
  } finally {
    await clear()
  }
}

await main()
