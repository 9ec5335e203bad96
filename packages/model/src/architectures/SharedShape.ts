/**
 * The one shape of a base and its fine-tunes: whatever reads two models side by side asks for it first.
 *
 * Tensors that only one of them has would be dropped without a word, and numbers of one would be computed with the other's
 * heads or positions.
 */
import * as Effect from "effect/Effect"
import { dirname } from "node:path"
import * as Checkpoint from "../checkpoint/Checkpoint.ts"
import { ModelError } from "../ModelError.ts"
import { difference, show } from "./ModelShape.ts"

/** What errors call a checkpoint: its directory. */
export const nameOf = (checkpoint: Checkpoint.Checkpoint): string =>
  dirname(checkpoint.files["config.json"] ?? "checkpoint")

export const asModelError =
  (model: string) =>
  (error: { readonly message: string; readonly blame: "input" | "system" }): ModelError =>
    new ModelError({ model, problem: error.message, blame: error.blame })

/** The shape that a base and its fine-tunes have in common; fails with the first difference, both sides named. */
export const of = Effect.fnUntraced(function* (
  base: Checkpoint.Checkpoint,
  experts: ReadonlyArray<Checkpoint.Checkpoint>,
) {
  const shape = yield* Effect.mapError(Checkpoint.validate(base), asModelError(nameOf(base)))
  for (const expert of experts) {
    const name = nameOf(expert)
    const found = difference(shape, yield* Effect.mapError(Checkpoint.validate(expert), asModelError(name)))
    if (found !== undefined) {
      return yield* new ModelError({
        model: name,
        problem: `is no fine-tune of ${nameOf(base)}: ${show(found)}`,
        blame: "input",
      })
    }
  }
  return shape
})
