/**
 * Post-flight: the written checkpoint is what was planned, before it gets its name.
 *
 * Every tensor is there with its shape and dtype, none besides, and sizes are those of config.json where the
 * architecture is known. That values are finite was checked when they were written.
 */
import { Architecture, Checkpoint, CheckpointError } from "@hila/model"
import * as Effect from "effect/Effect"
import type { OutputTensor } from "../preflight/Plan.ts"

/** Checks a directory against its plan. */
export const check = Effect.fnUntraced(function* (directory: string, planned: ReadonlyArray<OutputTensor>) {
  const written = yield* Checkpoint.open(directory)
  const refuse = (tensor: string, problem: string, expected?: string, got?: string) =>
    new CheckpointError({
      path: directory,
      tensor,
      problem,
      ...(expected === undefined ? {} : { expected }),
      ...(got === undefined ? {} : { got }),
      blame: "system",
    })
  for (const { dtype, name, shape } of planned) {
    const info = written.tensors.get(name)
    if (info === undefined) return yield* refuse(name, "was not written")
    const [expected, got] = [`${dtype} [${shape.join(", ")}]`, `${info.dtype} [${info.shape.join(", ")}]`]
    if (expected !== got) return yield* refuse(name, "was written wrongly", expected, got)
  }
  if (written.tensors.size !== planned.length) {
    const names = new Set(planned.map(({ name }) => name))
    const extra = [...written.tensors.keys()].find((name) => !names.has(name))
    return yield* refuse(extra ?? "", "was not planned")
  }
  // An architecture without a record is merged by names alone and has nothing to compare with.
  const known = yield* Effect.option(Architecture.resolve(written.config))
  if (known._tag === "Some") yield* Checkpoint.validate(written)
})
