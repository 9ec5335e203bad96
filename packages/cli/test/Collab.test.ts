import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { workbench } from "./workbench.ts"

describe("hila collab and hila serve", () => {
  it.effect("say in one line what is wrong with what they are given", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      const none = yield* hila("collab", "pack", path("none.json"), path("bundle"))
      assert.strictEqual(none.code, 2)
      assert.match(none.err, /none\.json: cannot be read/)
      write(
        "contents.json",
        JSON.stringify({ classes: ["a"], head: "head.safetensors", experts: [{ path: "x" }] }),
      )
      const wrong = yield* hila("collab", "pack", path("contents.json"), path("bundle"))
      assert.strictEqual(wrong.code, 2)
      assert.match(wrong.err, /contents\.json: .*name/)
      const served = yield* hila("serve", "collab", path("bundle"))
      assert.strictEqual(served.code, 2)
      assert.match(served.err, /is no bundle: it has no bundle\.json/)
    }).pipe(Effect.scoped),
  )
})
