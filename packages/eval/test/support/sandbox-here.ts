/** Says in one line whether the sandbox can be had where this runs. */
import * as Effect from "effect/Effect"
import * as Sandbox from "../../src/code/Sandbox.ts"

const said = Effect.match(Sandbox.make, {
  onFailure: ({ blame, message }) => `${blame}: ${message}`,
  onSuccess: () => "it holds",
})
console.log(await Effect.runPromise(said))
