import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { type Result, workbench } from "./workbench.ts"

/** Exit code, exactly one line on standard error, nothing on standard output. */
const oneLine = (result: Result, code: number, expected: RegExp) => {
  assert.match(result.err, expected)
  assert.match(result.err, /^hila: [^\n]+\n$/)
  assert.strictEqual(result.code, code)
}

const mistakes: ReadonlyArray<
  readonly [title: string, file: string | undefined, args: ReadonlyArray<string>, line: RegExp]
> = [
  [
    "an unknown option",
    undefined,
    ["toy.ts", "--set", "densty=1"],
    /unknown option "densty", did you mean "density"\?/,
  ],
  [
    "an option value of the wrong type",
    undefined,
    ["toy.ts", "--set", "density=lots"],
    /density=lots: Expected number/,
  ],
  [
    "an option without a value",
    undefined,
    ["toy.ts", "--set", "density"],
    /--set density: expected name=value/,
  ],
  ["an unknown flag", undefined, ["toy.ts", "--sett", "density=1"], /--sett.*; did you mean --set\?/],
  ["a missing argument", undefined, [], /Missing required argument: pipeline\.ts/],
  ["a file that does not exist", undefined, ["gone.ts"], /gone\.ts: there is no such file; \. has toy\.ts/],
  [
    "a file in no directory",
    undefined,
    ["no/gone.ts"],
    /no\/gone\.ts: there is no such file; paths start from \//,
  ],
  ["a directory for a file", undefined, ["."], /is not a file/],
  [
    "a syntax error",
    "const a = 1\nexport default {{ a\n",
    ["bad.ts"],
    /bad\.ts:2: syntax error: Unexpected token/,
  ],
  [
    "an unsupported syntax",
    "enum A { B }\nexport default A\n",
    ["bad.ts"],
    /bad\.ts:1: syntax error: .*enum/,
  ],
  [
    "a throw while loading",
    "const f = () => {\n  throw new Error('boom\\nand more')\n}\nexport default f()\n",
    ["bad.ts"],
    /bad\.ts:2: threw while loading: boom and more/,
  ],
  ["a throw of no error", "throw 'a string'", ["bad.ts"], /bad\.ts: threw while loading: a string/],
  [
    "an import of no package",
    "import 'no-such-package'",
    ["bad.ts"],
    /bad\.ts: Cannot find package 'no-such-package'/,
  ],
  [
    "an import of no export",
    "import { Pipelin } from '@hila/core'\nexport default Pipelin\n",
    ["bad.ts"],
    /bad\.ts:1: syntax error: .*does not provide an export named 'Pipelin'/,
  ],
  ["a file without a default export", "export const a = 1\n", ["bad.ts"], /bad\.ts: has no default export/],
  [
    "a default export that is no pipeline",
    "export default 1\n",
    ["bad.ts"],
    /bad\.ts: its default export is not a pipeline/,
  ],
]

describe("a mistake is one line, exit 2, and nothing left behind", () => {
  for (const [title, file, args, line] of mistakes) {
    it.live(title, () =>
      Effect.gen(function* () {
        const bench = yield* workbench
        if (file !== undefined) bench.write("bad.ts", file)
        const before = bench.files()
        const result = yield* bench.hila("run", ...args)
        oneLine(result, 2, line)
        assert.strictEqual(result.out, "")
        assert.deepStrictEqual(bench.files(), before)
      }),
    )
  }

  it.live("plan and graph on a wrong option", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      for (const command of ["plan", "graph", "explain"]) {
        oneLine(yield* bench.hila(command, "toy.ts", "--set", "paus=1"), 2, /did you mean "pause"/)
      }
      assert.deepStrictEqual(bench.files(), ["toy.ts"])
    }),
  )

  it.live("an output the pipeline does not have", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      oneLine(
        yield* bench.hila("run", "toy.ts", "tabel"),
        2,
        /no output "tabel"; the pipeline has doubled, table/,
      )
      assert.deepStrictEqual(bench.files(), ["toy.ts"])
    }),
  )

  it.live("a number of jobs that is none", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      oneLine(
        yield* bench.hila("run", "toy.ts", "--jobs", "0"),
        2,
        /--jobs: "0"\. Expected a value greater than 0 \(/,
      )
    }),
  )

  it.live("an unknown subcommand", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      oneLine(yield* bench.hila("rn", "toy.ts"), 2, /"rn".*; did you mean run\?/)
    }),
  )
})

describe("a stage that fails", () => {
  it.live("is one line with its title, exit 2 if the input is to blame", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      oneLine(
        yield* bench.hila("run", "toy.ts", "--set", "density=13"),
        2,
        /double two: thirteen is bad luck$/m,
      )
    }),
  )

  it.live("is one line with its title, exit 1 otherwise", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      oneLine(yield* bench.hila("run", "toy.ts", "--set", "density=14"), 1, /double two: disk on fire/)
    }),
  )

  it.live("shows where it failed with --debug", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const { err } = yield* bench.hila("run", "toy.ts", "--debug", "--set", "density=14")
      assert.match(err, /toy\.ts:\d+:\d+/)
    }),
  )
})
