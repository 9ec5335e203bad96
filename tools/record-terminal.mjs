// Records what the command shows on a terminal, from real runs, as text: docs/terminal/*.txt.
//
//   node tools/record-terminal.mjs
//
// Runs the first pipeline on a new store behind a pseudo-terminal (util-linux `script`) and keeps a few of the frames
// that a person would see, then what plan, explain and the commands on earlier runs print. Times differ from run to run.
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const workspace = fileURLToPath(new URL("..", import.meta.url))
const out = join(workspace, "docs", "terminal")
const directory = mkdtempSync(join(tmpdir(), "hila-record-"))
const store = join(directory, "store")
const small = "--set golden=24 --set questions=12"
const pipeline = "pipelines/hila.ts"

const shown = (command) => `$ npx hila ${command.replaceAll(` --store ${store}`, "")}\n`
/** A pseudo-terminal, from util-linux. */
const recorder = "script"
const bin = "packages/cli/bin/hila.mjs"
const clean = (text) =>
  text.replaceAll(store, ".hila").replaceAll(`${directory}/`, "").replaceAll(workspace, "")

const escape = String.fromCharCode(27)
const tokens = new RegExp(`${escape}\\[(\\d+)A|${escape}\\[[0-9;?]*[a-zA-Z]|\\r|\\n|[^${escape}\\r\\n]+`, "g")

/** A screen of 24 lines that knows the two sequences the display uses: up by n lines, erase below. */
const screen = () => {
  const lines = [""]
  let at = 0
  return {
    write: (text) => {
      for (const [token, up] of text.matchAll(tokens)) {
        if (up !== undefined) at = Math.max(0, at - Number(up))
        else if (token === `${escape}[0J`) lines.splice(at, Infinity, "")
        else if (token === "\n") lines[++at] ??= ""
        else if (token !== "\r" && !token.startsWith(escape)) lines[at] += token
      }
    },
    text: () => lines.join("\n").trimEnd().split("\n").slice(-24).join("\n"),
  }
}

/** Frames of a command on a terminal of 110 columns, one each `every` milliseconds, and the last. */
const frames = (command, every) =>
  new Promise((resolve, reject) => {
    const child = spawn(recorder, ["-qec", `stty cols 110; node ${bin} ${command}`, "/dev/null"], {
      cwd: workspace,
    })
    const terminal = screen()
    const seen = []
    const timer = setInterval(() => seen.push(terminal.text()), every)
    child.stdout.setEncoding("utf8").on("data", (text) => terminal.write(text))
    child.on("error", reject)
    child.on("close", (code) => {
      clearInterval(timer)
      if (code !== 0) reject(new Error(`${command}: exit ${code}\n${terminal.text()}`))
      else resolve([...new Set(seen), terminal.text()])
    })
  })

const plain = (command) => {
  const { status, stderr, stdout } = spawnSync(process.execPath, [bin, ...command.split(" ")], {
    cwd: workspace,
    encoding: "utf8",
  })
  if (status !== 0) throw new Error(`${command}: exit ${status}\n${stderr}`)
  return `${shown(command)}${stdout}`
}

const save = (name, text) => {
  writeFileSync(join(out, `${name}.txt`), `${clean(text).trimEnd()}\n`)
  console.log(`docs/terminal/${name}.txt`)
}

mkdirSync(out, { recursive: true })
try {
  const at = `--store ${store}`
  const first = `run ${pipeline} ${small} --set density=0.2 ${at}`
  const all = await frames(first, 2500)
  const rule = (index) =>
    `${"─".repeat(40)} ${index < all.length - 1 ? `after ${(2.5 * (index + 1)).toFixed(1)} s` : "at the end"}\n`
  // At most eight frames, however slow the machine was, and the last.
  const every = Math.ceil(all.length / 8)
  const few = all.flatMap((frame, index) =>
    index % every === 0 || index === all.length - 1 ? [`${rule(index)}${frame}\n`] : [],
  )
  save("progress", `${shown(first)}${few.join("\n")}`)
  save("hits", plain(first))
  const changed = `${pipeline} ${small} --set density=0.15 ${at}`
  save("plan", plain(`plan ${changed}`))
  save(
    "explain",
    [
      `explain ${pipeline} prune math`,
      `explain ${pipeline} tune hila`,
      `explain ${pipeline} golden math score`,
    ]
      .map((command) => plain(`${command} ${small} --set density=0.15 ${at}`))
      .join("\n"),
  )
  plain(`run ${changed}`)
  const copy = join(directory, "merged")
  save(
    "history",
    [
      `runs ${at}`,
      `diff previous last ${at}`,
      `checkout merged ${copy} ${at}`,
      `why ${copy}/model.safetensors ${at}`,
      `gc --runs 1 --grace 0 ${at}`,
      `verify ${at}`,
    ]
      .map(plain)
      .join("\n"),
  )
  save("sweep", plain(`sweep ${pipeline} ${small} --over density=0.15,0.2 --over temperature=0.5,1 ${at}`))
} finally {
  rmSync(directory, { recursive: true, force: true })
}
