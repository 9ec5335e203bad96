/**
 * The tensors that units divide, as filters of a recipe: one for all layers where it matches no other tensor.
 */
import { type Checkpoint, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Value from "./Value.ts"

/** Filters that match the tensors with units of a checkpoint, and none besides. */
export const of = Effect.fnUntraced(function* (checkpoint: Checkpoint.Checkpoint, scheme: Unit.UnitScheme) {
  const { units } = yield* Unit.partition(checkpoint, scheme)
  const inside = new Set(units.flatMap(({ slices }) => slices.map(({ tensor }) => tensor)))
  const matching = (tensor: string) =>
    [...checkpoint.tensors.keys()].filter((name) =>
      Value.matches({ tensor }, { tensor: name, layer: undefined, t: 0 }),
    )
  return [...new Set([...inside].map(patternOf))].flatMap((tensor) => {
    const names = matching(tensor)
    const within = names.filter((name) => inside.has(name))
    return within.length === names.length ? [{ tensor }] : within.map((name) => ({ tensor: name }))
  })
})

/** `model.layers.*.mlp.up_proj.weight` of `model.layers.7.mlp.up_proj.weight`. */
const patternOf = (name: string): string => name.replaceAll(/(?<=\.)\d+(?=\.)/g, "*")
