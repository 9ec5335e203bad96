// Proves that each package stands alone: packs it, installs it outside the workspace with nothing but what it
// declares, and type-checks and runs the example its README begins with.
//
//   npm run stand-alone [-- core merge …]
//
// The example is the README's first ```ts block. It finds the fixtures as ./fixtures, as a reader at the root of this
// repository does.
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const workspace = fileURLToPath(new URL("..", import.meta.url))
const all = ["core", "model", "scoring", "merge", "eval", "collab"]
const asked = process.argv.slice(2)
const names = asked.length === 0 ? all : asked

// The core of the pipeline must not bring in a model runtime or a Hub client.
const forbidden = { core: ["onnxruntime-node", "@huggingface/hub", "tokenizers"] }

const manifest = (name) => JSON.parse(readFileSync(join(workspace, "packages", name, "package.json"), "utf8"))

/** A package and every package of ours below it. */
const closure = (name) => {
  const below = Object.keys(manifest(name).dependencies ?? {}).filter((dependency) =>
    dependency.startsWith("@hila/"),
  )
  return [...new Set([name, ...below.flatMap((dependency) => closure(dependency.slice("@hila/".length)))])]
}

const run = (command, args, cwd) => {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch (error) {
    const output = `${error.stdout ?? ""}${error.stderr ?? ""}` || error.message
    // eslint-disable-next-line preserve-caught-error -- the cause repeats the output, byte for byte and escaped
    throw new Error(`${command} ${args.join(" ")}\n${output}`)
  }
}

const tsc = join(workspace, "node_modules", ".bin", "tsc")

/** Tarballs of the packages, by name. */
const pack = (packages, directory) =>
  new Map(
    packages.map((name) => {
      const [{ filename }] = JSON.parse(
        run("npm", ["pack", "--json", "--pack-destination", directory], join(workspace, "packages", name)),
      )
      return [name, join(directory, filename)]
    }),
  )

const example = (name) => {
  const [, code] =
    /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(join(workspace, "packages", name, "README.md"), "utf8")) ??
    []
  if (code === undefined) throw new Error(`packages/${name}/README.md has no example: no \`\`\`ts block`)
  return code
}

const tsconfig = {
  compilerOptions: {
    target: "es2024",
    lib: ["es2024"],
    module: "nodenext",
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    verbatimModuleSyntax: true,
    erasableSyntaxOnly: true,
    skipLibCheck: true,
    noEmit: true,
    typeRoots: [join(workspace, "node_modules", "@types")],
    types: ["node"],
  },
  include: ["example.ts"],
}

const check = (name, tarballs, directory) => {
  mkdirSync(directory)
  const dependencies = Object.fromEntries(
    closure(name).map((each) => [`@hila/${each}`, `file:${tarballs.get(each)}`]),
  )
  const write = (file, text) => writeFileSync(join(directory, file), text)
  write("package.json", JSON.stringify({ name: "reader", private: true, type: "module", dependencies }))
  write("tsconfig.json", JSON.stringify(tsconfig))
  write("example.ts", example(name))
  symlinkSync(join(workspace, "fixtures"), join(directory, "fixtures"))
  run(
    "npm",
    ["install", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"],
    directory,
  )
  for (const unwanted of forbidden[name] ?? []) {
    if (existsSync(join(directory, "node_modules", unwanted)))
      throw new Error(`@hila/${name} brings in ${unwanted}`)
  }
  run(tsc, ["-p", directory], directory)
  const printed = run(
    process.execPath,
    ["--disable-warning=ExperimentalWarning", "example.ts"],
    directory,
  ).trim()
  if (printed === "") throw new Error("its example prints nothing, so nothing shows that it ran")
  return printed
}

const temporary = mkdtempSync(join(tmpdir(), "hila-stand-alone-"))
const failures = []
try {
  const packages = [...new Set(names.flatMap(closure))]
  // A clean build: a file left over from a deleted source must not hide that it is missing.
  for (const name of packages)
    rmSync(join(workspace, "packages", name, "dist"), { recursive: true, force: true })
  run(tsc, ["-b", ...packages.map((name) => join("packages", name))], workspace)
  const tarballs = pack(packages, temporary)
  for (const name of names) {
    const start = Date.now()
    const directory = join(temporary, name)
    try {
      const printed = check(name, tarballs, directory)
      console.log(`ok @hila/${name} (${((Date.now() - start) / 1000).toFixed(1)} s)`)
      console.log(printed.replaceAll(/^/gm, "   "))
    } catch (error) {
      failures.push(name)
      console.error(`FAILED @hila/${name}: ${error.message}`)
    }
    rmSync(directory, { recursive: true, force: true })
  }
} catch (error) {
  failures.push(...names)
  console.error(`FAILED to build or pack: ${error.message}`)
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
console.log(`${names.length - failures.length} of ${names.length} packages stand alone`)
if (failures.length > 0) process.exit(1)
