/**
 * Whether a list of units (of a score table, of weights, of a mask) is the partition of the models at hand.
 *
 * A table made for another model, or for another way of dividing this one, is refused before a weight is read.
 */
import { known } from "@hila/core/Lookup"
import { Unit, type UnitTable } from "@hila/model"
import * as Effect from "effect/Effect"
import { MergeError } from "../MergeError.ts"
import type { Participant } from "../names/Participant.ts"

/** What a unit is known by in tables. */
export interface NamedUnit {
  readonly unit: string
  readonly size: number
}

/** The partition all participants share; fails where their configs divide the same tensors differently. */
export const partition = Effect.fnUntraced(function* (
  method: string,
  scheme: UnitTable.UnitTable["scheme"],
  participants: readonly [Participant, ...ReadonlyArray<Participant>],
) {
  const [first, ...others] = participants
  const own = yield* Unit.partition(first.checkpoint, scheme)
  const units = named(own.units)
  for (const { checkpoint, role } of others) {
    const other = named((yield* Unit.partition(checkpoint, scheme)).units)
    yield* same(
      method,
      role,
      other,
      units,
      `its config.json divides the tensors otherwise than the ${first.role}'s`,
    )
  }
  return own
})

/** Fails unless `got` lists the units of a partition, in its order. */
export const matches = (
  method: string,
  input: string,
  scheme: { readonly expected: string; readonly got: string },
  got: ReadonlyArray<NamedUnit>,
  expected: ReadonlyArray<Unit.Unit>,
): Effect.Effect<void, MergeError> =>
  scheme.expected === scheme.got
    ? same(method, input, got, named(expected), "it was made for another model")
    : Effect.fail(
        new MergeError({
          method,
          input,
          problem: `made for scheme ${scheme.got}, expected ${scheme.expected}`,
        }),
      )

const named = (units: ReadonlyArray<Unit.Unit>): ReadonlyArray<NamedUnit> =>
  units.map(({ id, size }) => ({ unit: id, size }))

const same = (
  method: string,
  input: string,
  got: ReadonlyArray<NamedUnit>,
  expected: ReadonlyArray<NamedUnit>,
  meaning: string,
): Effect.Effect<void, MergeError> => {
  const refuse = (problem: string) =>
    Effect.fail(new MergeError({ method, input, problem: `${problem}; ${meaning}` }))
  if (got.length !== expected.length) return refuse(`has ${got.length} units, expected ${expected.length}`)
  const at = got.findIndex(
    ({ size, unit }, i) => unit !== known(expected[i]).unit || size !== known(expected[i]).size,
  )
  if (at === -1) return Effect.void
  const describe = ({ size, unit }: NamedUnit) => `${unit} of ${size} scalars`
  return refuse(`unit ${at + 1} is ${describe(known(got[at]))}, expected ${describe(known(expected[at]))}`)
}

/** The slices of every unit by tensor: `unit` is the index in the partition. */
export const slicesByTensor = (
  units: ReadonlyArray<Unit.Unit>,
): ReadonlyMap<string, ReadonlyArray<{ readonly unit: number; readonly slice: Unit.Slice }>> => {
  const found = new Map<string, Array<{ readonly unit: number; readonly slice: Unit.Slice }>>()
  for (const [unit, { slices }] of units.entries()) {
    for (const slice of slices) {
      const list = found.get(slice.tensor)
      if (list === undefined) found.set(slice.tensor, [{ unit, slice }])
      else list.push({ unit, slice })
    }
  }
  return found
}
