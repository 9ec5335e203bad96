import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { hila, temporaryStore } from "./command.ts"

const directory = fileURLToPath(new URL("..", import.meta.url))
const files = readdirSync(directory).filter((name) => name.endsWith(".ts") && name !== "vitest.config.ts")

describe("every pipeline", () => {
  it.effect.each(files)("%s can be planned on an empty store, and is short", (name) =>
    Effect.gen(function* () {
      const store = yield* temporaryStore
      const outcome = yield* hila(["plan", `${directory}/${name}`, "--store", store])
      assert.strictEqual(outcome.error, "")
      assert.match(outcome.out, /\d+ to run, \d+ may follow, 0 kept\n/)
      assert.isBelow(readFileSync(`${directory}/${name}`, "utf8").split("\n").length, 150)
    }),
  )
})
