/**
 * A request a worker did not answer, as the model's error.
 */
import { ModelError } from "../ModelError.ts"
import type { RequestFailure } from "./WorkerThread.ts"

/** The error of `model`: its thread ended, or ONNX Runtime refused. */
export const of =
  (model: string) =>
  ({ died, problem }: RequestFailure): ModelError =>
    new ModelError({
      model,
      problem: died
        ? `${problem}; run it again, the pool starts a new one`
        : `ONNX Runtime: ${problem.replaceAll(/\s+/g, " ").trim()}`,
      blame: "system",
    })
