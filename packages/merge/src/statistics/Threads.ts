/**
 * Threads that solve equations, one tensor at a time each; none for small models, whose tensors are solved at once.
 */
import { known } from "@hila/core/Lookup"
import * as Threads from "@hila/core/Threads"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { Worker } from "node:worker_threads"
import type { Solved } from "./dense/Regression.ts"
import { run, type Work } from "./dense/Work.ts"
import { EngineError } from "../MergeError.ts"

type Answer =
  | { readonly _tag: "Solved"; readonly solved: Solved }
  | { readonly _tag: "Failed"; readonly problem: string }

/** Solves the equations of the tensor of this name; the arrays of the work are gone afterwards. */
export type Solve = (tensor: string, work: Work) => Effect.Effect<Solved, EngineError>

const entry = import.meta.url.endsWith(".ts")
  ? new URL("../internal/solver.ts", import.meta.url)
  : new URL("../internal/solver.js", import.meta.url)

/** Threads that end with their scope; `threads` is an integer, 0 to work on the calling thread. */
export const make = Effect.fnUntraced(function* (threads: number) {
  if (threads === 0) {
    const solve: Solve = (tensor, work) =>
      Effect.try({
        try: () => run(work),
        catch: (cause) => new EngineError({ tensor, problem: String(cause) }),
      })
    return solve
  }
  const idle: Array<Worker> = []
  for (let i = 0; i < threads; i++) idle.push(yield* worker)
  const permits = Semaphore.makeUnsafe(threads)
  const solve: Solve = (tensor, work) =>
    permits.withPermits(1)(
      Effect.suspend(() => {
        const taken = known(idle.pop())
        return Effect.ensuring(
          Effect.flatMap(ask(taken, work), (answer) =>
            answer._tag === "Solved"
              ? Effect.succeed(answer.solved)
              : Effect.fail(new EngineError({ tensor, problem: answer.problem })),
          ),
          Effect.sync(() => idle.push(taken)),
        )
      }),
    )
  return solve
})

const worker = Effect.acquireRelease(
  Effect.sync(() => new Worker(entry, { execArgv: [...Threads.execArgv], name: "hila-solve" })),
  (started) => Effect.promise(() => started.terminate()),
)

const ask = (to: Worker, work: Work) =>
  Effect.callback<Answer>((resume) => {
    const stopListening = () => {
      to.off("message", end)
      to.off("error", fail)
      to.off("exit", exit)
    }
    const end = (answer: Answer) => {
      stopListening()
      resume(Effect.succeed(answer))
    }
    const fail = (cause: Error) => end({ _tag: "Failed", problem: cause.message })
    const exit = (code: number) => end({ _tag: "Failed", problem: `a worker thread ended with ${code}` })
    to.on("message", end)
    to.on("error", fail)
    to.on("exit", exit)
    to.postMessage(work, transferOf(work))
    return Effect.sync(stopListening)
  })

/** Everything large, once. */
const transferOf = ({ _tag, job }: Work): Array<ArrayBuffer> => {
  const factors = _tag === "Regression" ? job.inputs : job.terms.flatMap(({ left, right }) => [left, right])
  const arrays = [...job.models, job.towards, ...factors.map(({ values }) => values)]
  return [...new Set(arrays.flatMap(({ buffer }) => (buffer instanceof ArrayBuffer ? [buffer] : [])))]
}
