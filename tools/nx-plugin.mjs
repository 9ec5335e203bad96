// Infers the build, typecheck and test targets of every workspace package from the files it has.
// Nx itself reads names and dependencies from package.json; no @nx/* plugin is needed.
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"

const target = (cwd, command) => ({ command, options: { cwd } })

const targetsOf = (root, workspaceRoot) => {
  const has = (file) => existsSync(join(workspaceRoot, root, file))
  return {
    ...(has("tsconfig.json") && has("src") ? { build: target(root, "tsc -b tsconfig.json") } : {}),
    ...(has("tsconfig.test.json") ? { typecheck: target(root, "tsc -p tsconfig.test.json") } : {}),
    ...(has("vitest.config.ts") ? { test: target(root, "vitest run --reporter=default") } : {}),
  }
}

export const createNodesV2 = [
  "{packages/*,pipelines,bench}/package.json",
  (files, _options, { workspaceRoot }) =>
    files.map((file) => {
      const root = dirname(file)
      return [file, { projects: { [root]: { targets: targetsOf(root, workspaceRoot) } } }]
    }),
]
