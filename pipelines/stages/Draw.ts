/**
 * Random numbers by name: a draw depends on a seed and a key alone, never on what was drawn before, so that a search
 * that was interrupted goes on with the same numbers.
 */
import { Digest } from "@hila/core"

/** A number in [0, 1); 52 bits of a hash. */
export const uniform = (seed: number, key: string): number =>
  Number.parseInt(Digest.of(`${seed} ${key}`).slice(0, 13), 16) / 2 ** 52

/** The items in an order given by seed and key. */
export const shuffled = <A>(items: ReadonlyArray<A>, seed: number, key: string): ReadonlyArray<A> =>
  items
    .map((item, index) => ({ item, place: uniform(seed, `${key} ${index}`) }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ item }) => item)
