/**
 * Post-flight: the written checkpoint is what was planned, before it gets its name.
 *
 * Every tensor is there with its shape and dtype, none besides. The config counts the layers that there are, with an
 * entry for each, and resolves with all its tensors where that of the model it is like does. That values are finite was
 * checked when they were written.
 */
import { Checkpoint, CheckpointError, TiedHead } from "@hila/model"
import * as Effect from "effect/Effect"
import type { OutputTensor } from "../plan/Plan.ts"
import * as Sections from "../stacks/Sections.ts"
import * as Stacks from "../stacks/Stacks.ts"

/** Checks a directory against its plan; `like` is the model whose config the result has. */
export const check = Effect.fnUntraced(function* (
  directory: string,
  planned: ReadonlyArray<OutputTensor>,
  like: Checkpoint.Checkpoint,
) {
  const written = yield* Checkpoint.open(directory)
  const refuse = (problem: string, at: Partial<Pick<CheckpointError, "tensor" | "expected" | "got">> = {}) =>
    new CheckpointError({ path: directory, problem, ...at, blame: "system" })
  for (const { dtype, name, shape } of planned) {
    const info = written.tensors.get(name)
    if (info === undefined) return yield* refuse("was not written", { tensor: name })
    const [expected, got] = [`${dtype} [${shape.join(", ")}]`, `${info.dtype} [${info.shape.join(", ")}]`]
    if (expected !== got) return yield* refuse("was written wrongly", { tensor: name, expected, got })
  }
  if (written.tensors.size !== planned.length) {
    const names = new Set(planned.map(({ name }) => name))
    const extra = [...written.tensors.keys()].find((name) => !names.has(name))
    return yield* refuse("was not planned", extra === undefined ? {} : { tensor: extra })
  }
  const problem = problemOf(written, like)
  if (problem !== undefined) return yield* refuse(`its config.json is wrong: ${problem}`)
  // What has no record, or another head than its record (a classifier of a decoder's), is merged by names alone; then the
  // model it is like is not whole either.
  if (yield* holds(Checkpoint.examine(like, TiedHead.unread))) yield* Checkpoint.validate(written)
  else if (yield* holds(Checkpoint.validateEncoder(like))) yield* Checkpoint.validateEncoder(written)
})

const holds = (examined: Effect.Effect<unknown, unknown>) =>
  Effect.map(Effect.option(examined), ({ _tag }) => _tag === "Some")

/** What the config says of layers and the tensors do not hold to; a depth is expected where the like one has it. */
const problemOf = (written: Checkpoint.Checkpoint, like: Checkpoint.Checkpoint): string | undefined => {
  const stacks = Stacks.of(written.tensors.keys())
  const [problem] = Sections.problemsOf(written.config, stacks.modules)
  if (problem !== undefined) return problem
  const before = Stacks.of(like.tensors.keys())
  for (const module of stacks.modules) {
    const own = before.modules.find(({ container }) => container === module.container)
    if (own === undefined || Sections.countsOf(like.config, own).length === 0) continue
    const past = own.stored - Sections.depthOf(like.config, own)
    const [count] = Sections.countsOf(written.config, module)
    if (count?.layers === module.stored - past) continue
    return `it counts ${count?.layers ?? "no"} layers of ${module.container}, the weights have ${module.stored - past}`
  }
  return undefined
}
