/**
 * Interpreters: Python and JavaScript, as they are installed here.
 */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import { dirname } from "node:path"
import { promisify } from "node:util"
import { EvalError } from "../EvalError.ts"
import type { Interpreter } from "./Jail.ts"
import type { Limits } from "./Limits.ts"

/** The languages programs can be in. */
export const languages = ["python", "javascript"] as const
export type Language = (typeof languages)[number]

const isSystem = (path: string): boolean =>
  path.startsWith("/usr/") && !path.startsWith("/usr/local/lib/node")

/** Python as `python3` on the path: the real executable and its installation, isolated from the user's own files. */
const python = Effect.tryPromise({
  try: async (): Promise<Interpreter> => {
    const { stdout } = await promisify(execFile)("python3", [
      "-I",
      "-c",
      "import os, sys; print(os.path.realpath(sys.executable)); print(sys.base_prefix)",
    ])
    const [executable = "", prefix = ""] = stdout.trim().split("\n")
    return {
      language: "python",
      executable,
      needs: [prefix].filter((path) => path !== "" && !isSystem(`${path}/`)),
      arguments: ["-I", "-B"],
      boundsAddressSpace: true,
    }
  },
  catch: () =>
    new EvalError({
      subject: "code execution",
      problem: "python3 was not found on the path; install it to run Python programs",
    }),
})

/** The Node that runs Hila, with its heap bounded; what Buffers take is seen by the watchdog. */
const javascript = (limits: Limits): Interpreter => ({
  language: "javascript",
  executable: process.execPath,
  needs: isSystem(process.execPath) ? [] : [dirname(process.execPath)],
  arguments: [
    `--max-old-space-size=${Math.max(32, Math.floor(limits.memoryMiB * 0.75))}`,
    "--v8-pool-size=1",
  ],
  boundsAddressSpace: false,
})

/** Finds the interpreter of a language under limits; the warden's is Python's, whatever the program's. */
export type Interpreters = (language: Language, limits: Limits) => Interpreter

/** The interpreters of this system, looked for once. */
export const find: Effect.Effect<Interpreters, EvalError> = Effect.map(
  python,
  (found) => (language, limits) => (language === "python" ? found : javascript(limits)),
)
