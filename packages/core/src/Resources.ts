/**
 * Resources: named pools that stages take from while they run, such as memory or an accelerator.
 *
 * A stage states an amount (`resources: { memoryGiB: 4 }`); those that do not fit beside each other wait. A pool that
 * has no size here is not limited. Amounts are no part of a key.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Semaphore from "effect/Semaphore"
import { ResourceError } from "./CoreError.ts"

/** Sizes by pool. */
export const Resources = Context.Reference<Readonly<Record<string, number>>>("@hila/core/Resources", {
  defaultValue: () => ({}),
})

/** Pools of the given sizes, `{ memoryGiB: 16, gpu: 1 }`. */
export const layer = (sizes: Readonly<Record<string, number>>): Layer.Layer<never> =>
  Layer.succeed(Resources, sizes)

/** Semaphores count whole permits; amounts may be fractions. */
const permits = (amount: number): number => Math.ceil(amount * 1000)

/** A function that runs an effect while it holds what it takes. Pools are entered in one order, so none waits for another. */
export const pools = Effect.map(Resources, (sizes) => {
  const semaphores = new Map(
    Object.entries(sizes).map(([name, size]) => [name, Semaphore.makeUnsafe(permits(size))]),
  )
  return (stage: string, amounts: Readonly<Record<string, number>>) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | ResourceError, R> => {
      let held: Effect.Effect<A, E | ResourceError, R> = effect
      for (const name of Object.keys(amounts).toSorted().toReversed()) {
        const [amount = 0, size] = [amounts[name], sizes[name]]
        if (size === undefined) continue
        if (amount > size) return Effect.fail(new ResourceError({ stage, pool: name, needed: amount, size }))
        held = semaphores.get(name)?.withPermits(permits(amount))(held) ?? held
      }
      return held
    }
})
