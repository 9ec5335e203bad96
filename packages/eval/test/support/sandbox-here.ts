/** Says in one line whether the sandbox can be had where this runs, or what a Python program prints in it. */
import * as Effect from "effect/Effect"
import * as Limits from "../../src/code/Limits.ts"
import * as Sandbox from "../../src/code/Sandbox.ts"

const [, , source] = process.argv
const shown = Effect.flatMap(Sandbox.make, (box) =>
  source === undefined
    ? Effect.succeed("it holds")
    : Effect.map(
        box.run({ language: "python", source }, { ...Limits.standard, seconds: 10 }),
        ({ stderr, stdout }) => stdout + stderr,
      ),
)
const said = Effect.match(shown, {
  onFailure: ({ blame, message }) => `${blame}: ${message}`,
  onSuccess: (text) => text,
})
console.log(await Effect.runPromise(said))
