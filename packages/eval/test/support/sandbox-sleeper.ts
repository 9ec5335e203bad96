/** Starts a program that sleeps for ever, tells when it runs, and waits for its own end. */
import * as Effect from "effect/Effect"
import * as Limits from "../../src/code/Limits.ts"
import * as Sandbox from "../../src/code/Sandbox.ts"

const [, , name = ""] = process.argv
const source = `import time\nopen('/proc/self/comm', 'w').write('${name}')\nwhile True: time.sleep(3600)`
await Effect.runPromise(
  Effect.gen(function* () {
    const box = yield* Sandbox.make
    yield* box.run({ language: "python", source }, { ...Limits.standard, seconds: 3600 })
  }),
)
