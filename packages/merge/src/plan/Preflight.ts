/** The last of pre-flight: everything that can be refused before a weight is read, and the report of it. */
import type { CheckpointError, SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Digest from "../engine/Digest.ts"
import * as Engine from "../engine/Engine.ts"
import { MergeError } from "../MergeError.ts"
import type { Options } from "../Options.ts"
import * as Solve from "../statistics/Solve.ts"
import * as Destination from "./Destination.ts"
import * as EngineTensor from "./EngineTensor.ts"
import * as Numbers from "./Numbers.ts"
import type { Prepared } from "./Prepared.ts"
import * as Realise from "./Realise.ts"
import * as Report from "./Report.ts"

/** The report of a merge that nothing is in the way of. */
export const preflight = Effect.fnUntraced(function* (
  prepared: Prepared,
  /** Where the result is to go, if that is known. */
  directory: string | undefined,
  options: Options = {},
): Effect.fn.Return<Report.Report, MergeError | CheckpointError | SafetensorsError> {
  // What is still on the Hub is compared when it is here.
  if ([...prepared.models.values()].every(({ hub }) => hub === undefined)) yield* checkIntegers(prepared)
  const problem = Solve.problemOf(prepared.tensors)
  if (problem !== undefined) {
    const method = prepared.located.recipe.merge_method
    return yield* new MergeError({ method, input: "statistics", problem })
  }
  const report = reportOf(prepared, options)
  const needed = report.diskBytes + Realise.bytesOf(prepared) + Solve.diskBytes(prepared.tensors)
  if (directory !== undefined) yield* Destination.check(directory, needed, options)
  return report
})

/** The pre-flight report of a prepared recipe. */
export const reportOf = (prepared: Prepared, options: Options = {}): Report.Report => {
  const hashes = options.card !== false && options.digests !== false
  const files = new Set(
    [...prepared.models.values()].flatMap(({ original }) =>
      [...original.tensors.values()].map(({ file }) => file),
    ),
  )
  const merging = Engine.memoryBound(prepared.tensors.map(EngineTensor.of), options)
  return Report.of(
    prepared,
    Math.max(
      merging + (hashes ? Digest.memoryBound(files.size) : 0),
      Solve.memoryBound(prepared.tensors, options.threads),
    ),
  )
}

/** Fails at the first tensor of integers that is not the same in its models. */
export const checkIntegers = ({ located, tensors }: Prepared) =>
  Numbers.checkIntegers(
    located.recipe.merge_method,
    tensors.flatMap(({ base, method, models: [first, ...others] }) =>
      method !== undefined || first === undefined ? [] : [[base ?? first, first, ...others] as const],
    ),
  )
