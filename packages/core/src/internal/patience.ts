/** Waiting for another process: short at first, never long. It is the world's clock, not one that tests can move. */
import * as Effect from "effect/Effect"

const pause = (milliseconds: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), milliseconds)
    return Effect.sync(() => clearTimeout(timer))
  })

/** An effect that waits longer each time, up to half a second; the part that is random keeps two from going in step. */
export const patience = (): Effect.Effect<void> => {
  let base = 10
  return Effect.suspend(() => {
    const next = base * (0.5 + Math.random())
    base = Math.min(base * 1.5, 500)
    return pause(next)
  })
}
