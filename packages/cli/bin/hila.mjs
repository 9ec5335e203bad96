#!/usr/bin/env node
// Starts the hila command under a Node that can run it.
//
// In the workspace it runs the sources, under the export condition that makes command, pipelines and packages share
// one copy of everything; installed from a registry it runs the compiled files. Nothing has to be built first.
// Where the system's Node is too old, the one that npm installed beside this package is used.
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { constants } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))

const recentEnough = () => {
  const [major, minor] = process.versions.node.split(".").map(Number)
  return major > 22 || (major === 22 && minor >= 19)
}

const installedNode = () => {
  for (let directory = here; ; directory = dirname(directory)) {
    const found = join(directory, "node_modules", `node-linux-${process.arch}`, "bin", "node")
    if (existsSync(found)) return found
    if (directory === dirname(directory)) return undefined
  }
}

const node = recentEnough() ? process.execPath : installedNode()
if (node === undefined) {
  process.stderr.write(`hila: needs Node 22.19 or later, this is ${process.version}: install a newer Node\n`)
  process.exit(1)
}

const source = join(here, "..", "src", "main.ts")
const args = existsSync(source)
  ? ["--conditions=@hila/source", "--disable-warning=ExperimentalWarning", source]
  : ["--disable-warning=ExperimentalWarning", join(here, "..", "dist", "main.js")]
args.push(...process.argv.slice(2))
// Compiled code is kept between runs: a run that finds everything in its store is mostly start-up.
const env = {
  NODE_COMPILE_CACHE: join(here, "..", "..", "..", "node_modules", ".cache", "hila"),
  ...process.env,
}
if (!existsSync(join(here, "..", "..", "..", "node_modules"))) delete env.NODE_COMPILE_CACHE

if (process.execve !== undefined && process.platform !== "win32") {
  // The same process goes on as the command: signals, kill -9 included, hit it and not a parent.
  process.execve(node, [node, ...args], env)
}
const child = spawn(node, args, { stdio: "inherit", env })
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal))
child.on("error", (error) => {
  process.stderr.write(`hila: cannot start ${node}: ${error.message}\n`)
  process.exit(1)
})
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]))
