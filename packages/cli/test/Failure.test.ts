import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Failure from "../src/Failure.ts"

describe("A stop", () => {
  it("says what is left of the command that was stopped, and exits with 130", () => {
    const line = (command: string) => {
      const { exitCode, line: text } = Failure.of(Cause.interrupt(), command)
      assert.strictEqual(exitCode, 130)
      return text
    }
    assert.strictEqual(line("run"), "stopped; what was finished is kept, run it again to go on")
    assert.strictEqual(line("merge"), "stopped; nothing was written")
    assert.strictEqual(line("serve"), "stopped")
  })
})
