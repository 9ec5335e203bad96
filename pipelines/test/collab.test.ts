import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { hila, temporaryStore } from "./command.ts"

const file = fileURLToPath(new URL("../collab.ts", import.meta.url))
const small = ["rows=120", "hidden=32", "epochs=1", "tokens=8", "vocabulary=200", "larger=false"]

describe("pipelines/collab.ts", () => {
  it.effect(
    "trains experts and heads, compares them, packs a bundle; the second run is all hits",
    () =>
      Effect.gen(function* () {
        const store = yield* temporaryStore
        const args = [
          "run",
          file,
          "report",
          "plot",
          "bundle",
          "--store",
          store,
          ...small.flatMap((set) => ["--set", set]),
        ]
        const first = yield* hila(args)
        assert.strictEqual(first.error, "")
        for (const name of [
          "expert brief",
          "F1 static average",
          "F4 attention, top 2",
          "F7 cascade 50 %",
          "oracle",
        ]) {
          assert.include(first.out, name)
        }
        assert.match(first.out, /bundle: \d+ files/)
        const second = yield* hila(args)
        assert.match(second.out, /\d+ hits, 0 runs/)
      }),
    240_000,
  )
})
