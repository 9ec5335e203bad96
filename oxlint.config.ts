/**
 * Lint rules: oxlint's own, and which package may import which.
 *
 * An override replaces a rule's options as a whole, so every list of forbidden imports is written out from the table.
 */
import { defineConfig } from "oxlint"

/** What is forbidden, and what an import of it is told. */
interface Forbidden {
  readonly regex: string
  readonly message: string
}

const barrels: Forbidden = {
  regex: "^(effect|effect/(cli|schema|testing|encoding)|@effect/platform-node)$",
  message: "barrels cost start-up time: import the module, as in effect/Effect",
}
const runtimes: Forbidden = {
  regex: "^(onnxruntime-node|@huggingface/.*)$",
  message: "only @hila/model reads and runs models",
}
const relative: Forbidden = {
  regex: "^(\\.\\./)+(packages|pipelines|core|model|scoring|merge|eval|collab|cli)/",
  message: "import another package by its name",
}
const packages = (names: string, message: string): Forbidden => ({
  regex: `^@hila/(${names})(/|$)`,
  message,
})

/** What each package may not import; sources, unlike tests, no barrels either. */
const layers: Readonly<Record<string, ReadonlyArray<Forbidden>>> = {
  core: [packages("model|scoring|merge|eval|collab|cli|pipelines", "core is the bottom layer"), runtimes],
  model: [packages("scoring|merge|eval|collab|cli|pipelines", "model may import @hila/core only")],
  scoring: [
    packages("merge|eval|collab|cli|pipelines", "scoring may import @hila/core and @hila/model only"),
    runtimes,
  ],
  merge: [
    packages("scoring|eval|collab|cli|pipelines", "merge may import @hila/core and @hila/model only"),
    runtimes,
  ],
  eval: [
    packages("scoring|merge|collab|cli|pipelines", "eval may import @hila/core and @hila/model only"),
    runtimes,
  ],
  collab: [packages("cli|pipelines", "cli and pipelines are above collab"), runtimes],
  cli: [packages("pipelines", "pipelines are above cli"), runtimes],
}

const below: Forbidden = {
  regex: "^\\.\\./(plan|output|prune|stages|tools|Merge\\.ts)",
  message: "plans are made of this room, which knows none",
}

/** Rooms of the merge package, and what each may not look into: from the file to the plan to the result. */
const mergeRooms: Readonly<Record<string, Forbidden>> = {
  recipe: {
    regex: "^\\.\\./(plan|output|engine|prune|statistics|stages|Merge\\.ts)",
    message: "a recipe is what a file says: plans are made from it, not it from plans",
  },
  names: below,
  stacks: below,
  adapters: below,
  tokenizers: below,
  units: below,
  plan: {
    regex: "^\\.\\./(output|prune|stages|tools|Merge\\.ts)",
    message: "a plan is made before anything is written",
  },
  engine: {
    regex: "^\\.\\./(recipe|plan|output|methods|units|prune|statistics|stages|Merge\\.ts)",
    message: "the engine knows blocks and methods as engine/Method.ts says them",
  },
}

const forbid = (files: string, patterns: ReadonlyArray<Forbidden>) => ({
  files: [files],
  rules: { "no-restricted-imports": ["error" as const, { patterns: [...patterns] }] },
})

export default defineConfig({
  plugins: ["typescript", "import", "unicorn", "oxc", "promise", "node", "vitest"],
  jsPlugins: ["./tools/oxlint-lookup.mjs"],
  categories: { correctness: "error", suspicious: "error" },
  ignorePatterns: ["dist", "coverage", ".hila", ".nx", "fixtures"],
  rules: {
    "import/no-cycle": "error",
    "typescript/no-floating-promises": "error",
    "max-lines": ["error", { max: 400 }],
    "typescript/consistent-return": "off",
    "typescript/no-unsafe-type-assertion": "off",
    "typescript/no-unnecessary-type-parameters": "off",
    "typescript/no-misused-spread": "off",
    "no-underscore-dangle": "off",
    "no-shadow": "off",
    "unicorn/consistent-function-scoping": "off",
  },
  overrides: [
    ...Object.entries(layers).flatMap(([name, patterns]) => [
      forbid(`packages/${name}/**`, [...patterns, relative]),
      forbid(`packages/${name}/src/**`, [...patterns, relative, barrels]),
    ]),
    ...Object.entries(mergeRooms).map(([room, pattern]) =>
      forbid(`packages/merge/src/${room}/**`, [...(layers["merge"] ?? []), relative, barrels, pattern]),
    ),
    forbid("pipelines/**", [runtimes, relative, barrels]),
    forbid("pipelines/test/**", [runtimes, relative]),
    { files: ["packages/*/src/**", "pipelines/**"], rules: { "typescript/no-explicit-any": "error" } },
    {
      files: ["packages/*/src/**", "pipelines/*.ts", "pipelines/stages/**"],
      rules: { "typescript/no-non-null-assertion": "error", "lookup/no-fall-back": "error" },
    },
    {
      files: ["packages/*/src/internal/**", "pipelines/test/**"],
      rules: { "typescript/no-explicit-any": "off" },
    },
  ],
})
