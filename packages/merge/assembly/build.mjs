/**
 * Compiles the sources in assembly/ to WebAssembly and writes each, as text in base64, to its wasmBytes.ts in src/.
 *
 * The result is committed, so that nothing stands between `npm ci` and the first run; a test compares it with a fresh
 * compile. Run `node packages/merge/assembly/build.mjs` after a change.
 */
import { readFile, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { main } from "assemblyscript/asc"

/** Where the code of each goes. */
const modules = { kernels: "kernels", dense: "statistics/dense" }
const sourceOf = (name) => new URL(`${name}.as`, import.meta.url)
const targetOf = (name) => new URL(`../src/${modules[name]}/wasmBytes.ts`, import.meta.url)

const flags = [
  "--optimizeLevel=3",
  "--shrinkLevel=0",
  "--converge",
  "--noAssert",
  "--runtime=stub",
  "--enable=simd,threads",
  "--importMemory",
  "--sharedMemory",
  "--initialMemory=1",
  "--maximumMemory=65536",
  "--use=abort=",
]

/** A compiled module, `kernels` or `dense`. */
export const compile = async (module = "kernels") => {
  const text = await readFile(sourceOf(module), "utf8")
  let bytes
  const { error } = await main(["kernels.ts", "--outFile=kernels.wasm", ...flags], {
    readFile: (name) => (name === "kernels.ts" ? text : null),
    writeFile: (_name, contents) => {
      bytes = contents
    },
    listFiles: () => [],
  })
  if (error !== null || bytes === undefined)
    throw new Error(`${module}.as does not compile; run asc on it to see why`, { cause: error })
  return bytes
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const module of Object.keys(modules)) {
    const bytes = await compile(module)
    const target = targetOf(module)
    const header = `/** assembly/${module}.as, compiled by assembly/build.mjs: WebAssembly in base64. */\n`
    await writeFile(target, `${header}export const base64 =\n  "${Buffer.from(bytes).toString("base64")}"\n`)
    process.stdout.write(`${fileURLToPath(target)}: ${bytes.length} bytes of WebAssembly\n`)
  }
}
