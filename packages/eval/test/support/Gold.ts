/** Sets of programming problems with their own solutions, to check the sandbox with. */
import * as FunctionalCorrectness from "../../src/code/FunctionalCorrectness.ts"
import * as Limits from "../../src/code/Limits.ts"
import type * as Sandbox from "../../src/code/Sandbox.ts"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"

type Named = readonly [id: string, problem: FunctionalCorrectness.Problem]

/** A set of problems, read from the reference material. */
export interface Set {
  readonly name: string
  readonly problems: (shared: string) => ReadonlyArray<Named>
  /** Problems whose own solution is known not to be accepted everywhere, and why. */
  readonly exceptions?: Readonly<Record<string, string>>
}

/** Seconds that a solution is given. */
export const seconds = 10

const rows = <T>(text: string): ReadonlyArray<T> =>
  text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line): T => JSON.parse(line))

interface HumanEval {
  readonly task_id: string
  readonly prompt: string
  readonly canonical_solution: string
  readonly test: string
  readonly entry_point: string
}

const humanEval = (row: HumanEval): Named => [
  row.task_id,
  {
    language: "python",
    candidates: [row.prompt + row.canonical_solution],
    tests: `${row.test}\ncheck(${row.entry_point})`,
  },
]

interface Mbpp {
  readonly task_id: number
  readonly code: string
  readonly test_list: ReadonlyArray<string>
}

/** As the task `mbpp` scores it, and the reference harness: without the data's `test_setup_code`. */
const mbpp = ({ code, task_id, test_list }: Mbpp): Named => [
  String(task_id),
  { language: "python", candidates: [code], tests: test_list.join("\n") },
]

/** HumanEval, HumanEval-XL (Python, Chinese prompts), and the test part of MBPP. */
export const sets: ReadonlyArray<Set> = [
  {
    name: "HumanEval",
    problems: (shared) =>
      rows<HumanEval>(
        gunzipSync(readFileSync(join(shared, "data/humaneval/HumanEval.jsonl.gz"))).toString(),
      ).map(humanEval),
  },
  {
    name: "HumanEval-XL python Chinese",
    problems: (shared) =>
      rows<HumanEval>(readFileSync(join(shared, "data/humaneval-xl/python/Chinese.jsonl"), "utf8")).map(
        humanEval,
      ),
  },
  {
    name: "MBPP 11-510",
    problems: (shared) =>
      rows<Mbpp>(readFileSync(join(shared, "data/mbpp/mbpp.jsonl"), "utf8"))
        .filter(({ task_id }) => task_id >= 11 && task_id <= 510)
        .map(mbpp),
    exceptions: {
      123: "a brute force over divisors, which takes about as long as the limit",
      367: "its assertions use root, root1 and root2, which only test_setup_code defines, with the solution's own class",
    },
  },
]

/** The problems whose own solution is not accepted, by id. */
export const failures = Effect.fnUntraced(function* (
  sandbox: Sandbox.Sandbox,
  problems: ReadonlyArray<Named>,
) {
  const limits = { ...Limits.standard, seconds }
  const verdicts = yield* Effect.forEach(
    problems,
    ([id, problem]) =>
      Effect.map(FunctionalCorrectness.judge(sandbox, problem, limits), ([right]) =>
        right === true ? [] : [id],
      ),
    { concurrency: 2 },
  )
  return verdicts.flat()
})
