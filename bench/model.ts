/**
 * How fast models run, and in how much memory: `npm run bench:model -- [--dir <scratch>] [--large] [--memory 1GiB]`.
 *
 * Measures the realtext base (where ../shared is beside the repository) and a Llama shape of 135 M parameters with random
 * weights: opening, forward, decoding over the cache against recomputing, and the forward pass block by block within
 * 512 MiB. With `--large`, instead: a Llama of 1.5 B parameters runs forward and backward (gradients of all gates) on a
 * sample of 64 tokens within `--memory`. Each measurement is a process of its own, so that its peak memory is its own;
 * weights were written just before, so they are in the page cache as far as memory goes.
 */
import * as Effect from "effect/Effect"
import { fork } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { availableParallelism, cpus, tmpdir, totalmem } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import * as RandomCheckpoint from "../packages/model/test/support/randomCheckpoint.ts"
import type { Report } from "./model/once.ts"

const { values: args } = parseArgs({
  options: {
    dir: { type: "string", default: tmpdir() },
    large: { type: "boolean", default: false },
    memory: { type: "string", default: "1GiB" },
  },
})

const MiB = 2 ** 20
const units: Readonly<Record<string, number>> = { MiB, GiB: 1024 * MiB, MB: 1e6, GB: 1e9 }

const bytesOf = (text: string): number => {
  const [, number, unit = ""] = /^([\d.]+)\s*([A-Za-z]+)$/.exec(text) ?? []
  const bytes = Number(number) * (units[unit] ?? Number.NaN)
  if (!(bytes > 0)) throw new Error(`--memory: expected a size such as 1GiB or 900MB, got ${text}`)
  return bytes
}

const measure = (task: "whole" | "blocks" | "gradient", directory: string, memory = 0) =>
  new Promise<Report>((resolve, reject) => {
    const entry = fileURLToPath(new URL("model/once.ts", import.meta.url))
    const child = fork(entry, [task, directory, String(memory)])
    let told: Report | undefined
    child.on("message", (message) => {
      told = message as Report
    })
    child.on("exit", (code) => {
      if (code === 0 && told !== undefined) resolve(told)
      else reject(new Error(`${task} of ${directory} ended with ${code}`))
    })
  })

const line = (label: string, ...cells: ReadonlyArray<string>) =>
  console.log(`  ${label.padEnd(44)}${cells.join("  ")}`)
const perSecond = (value: number | undefined) => `${(value ?? NaN).toFixed(0)} tokens/s`
const time = (value: number | undefined) => `${(value ?? NaN).toFixed(2)} s`
const size = (bytes: number | undefined) => `${((bytes ?? NaN) / 1e6).toFixed(0)} MB`
const times = (value: number) => `${value.toFixed(2)} ×`

const small = async (label: string, directory: string) => {
  console.log(label)
  const whole = await measure("whole", directory)
  line("opening, session included", time(whole["open"]))
  line("forward, batch 1 and 8 of 128 tokens", perSecond(whole["forward1"]), perSecond(whole["forward8"]))
  line("decoding 64 tokens, batch 1 and 8", perSecond(whole["decode1"]), perSecond(whole["decode8"]))
  line("every token computed anew / cached decoding", times(whole["cached"] ?? NaN))
  line("peak resident memory", size(whole["peak"]))
  const blocks = await measure("blocks", directory, 512 * MiB)
  line("block by block in 512 MiB, batch 8", perSecond(blocks["forward8"]), `peak ${size(blocks["peak"])}`)
  const stay = blocks["streamed"] === 1 ? `${blocks["resident"]} blocks stay, others pass` : "all blocks stay"
  line("block time / whole-graph time (goal ≤ 1.15)", times(blocks["ratio"] ?? NaN), `(${stay})`)
}

const large = async (directory: string) => {
  const begin = performance.now()
  await Effect.runPromise(
    RandomCheckpoint.write(directory, {
      layers: 24,
      hiddenSize: 2048,
      intermediateSize: 5120,
      heads: 32,
      kvHeads: 8,
      vocabSize: 128_256,
      tied: false,
    }),
  )
  const made = (performance.now() - begin) / 1000
  const report = await measure("gradient", directory, bytesOf(args.memory))
  console.log(
    `Llama of ${((report["parameters"] ?? NaN) / 1e9).toFixed(2)} B parameters, bf16, --memory ${args.memory}`,
  )
  line("random weights written", time(made))
  line("forward, 64 tokens", time(report["forward"]), `loss ${report["loss"]?.toFixed(4)}`)
  line(
    "forward and backward, gradients of all gates",
    time(report["gradient"]),
    `loss ${report["lossAgain"]?.toFixed(4)}`,
  )
  line("blocks that stay in memory", `${report["resident"]} of 24 layers and the head's slices`)
  line("peak resident memory (goal ≤ 1200 MB)", size(report["peak"]))
}

const scratch = await mkdtemp(join(args.dir, "hila-bench-model-"))
try {
  console.log(
    `Node ${process.version}, ${cpus()[0]?.model ?? "?"}, ${availableParallelism()} CPUs, ${size(totalmem())} memory`,
  )
  if (args.large) await large(join(scratch, "large"))
  else {
    const realtext = fileURLToPath(new URL("../../shared/models/realtext/base", import.meta.url))
    if (existsSync(realtext)) await small("realtext base", realtext)
    else console.log("realtext base: skipped, ../shared is not beside the repository")
    const directory = join(scratch, "135M")
    await Effect.runPromise(
      RandomCheckpoint.write(directory, {
        layers: 30,
        hiddenSize: 576,
        intermediateSize: 1536,
        heads: 9,
        kvHeads: 3,
        vocabSize: 49_152,
        tied: true,
      }),
    )
    await small("Llama of 135 M parameters, random weights", directory)
  }
} finally {
  await rm(scratch, { recursive: true, force: true })
}
