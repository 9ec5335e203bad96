import { assert, describe, it } from "@effect/vitest"
import { Artifact, Plan, Run, Stage, Store } from "@hila/core"
import { Effect } from "effect"
import * as Schema from "effect/Schema"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { Checkpoint, Hub } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"
import { messageOf, pinned, repo, setting } from "./support/hub.ts"
import { fixture } from "./support/models.ts"

const count = Stage.make({
  name: "count",
  version: 1,
  inputs: { model: Checkpoint.artifact },
  params: {},
  output: Artifact.json("count", Schema.Int, { summary: String }),
  run: ({ model }) => Effect.succeed(Checkpoint.parameterCount(model)),
})

describe("Hub.checkpoint", () => {
  const nodes = (model: ReturnType<typeof Hub.checkpoint>) => ({ count: count({ model }) })

  it.effect("is planned without weights, and has the digest of the same files in a directory", () =>
    Effect.gen(function* () {
      const { blob, hub, use } = yield* setting
      const store = Store.layer(join(yield* temporary, "store"))
      const wanted = nodes(Hub.checkpoint({ repo }))
      yield* use()(Effect.provide(Plan.make(wanted), store))
      assert.isFalse(existsSync(blob("model.safetensors")))
      const { count: first } = yield* use()(Effect.provide(Run.outputs(wanted, { pipeline: "count" }), store))
      assert.isTrue(existsSync(blob("model.safetensors")))
      assert.strictEqual(first, Checkpoint.parameterCount(yield* Checkpoint.open(fixture("math"))))

      // A copy of the model on disk has the same content, so nothing runs again.
      const local = nodes(Checkpoint.source(fixture("math")))
      const [step] = yield* Effect.provide(Plan.make(local), store)
      assert.strictEqual(step?._tag, "Hit")

      // With everything cached, a pinned revision needs no Hub.
      yield* hub.close
      const offline = nodes(Hub.checkpoint(pinned))
      const [again] = yield* use()(Effect.provide(Plan.make(offline), store))
      assert.strictEqual(again?._tag, "Hit")
    }),
  )

  it.effect("fails a run with one line that says whose turn it is", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      const store = Store.layer(join(yield* temporary, "store"))
      const wanted = nodes(Hub.checkpoint({ repo }))
      const run = use()(Effect.provide(Run.outputs(wanted, { pipeline: "count" }), store))
      hub.fault = { when: /revision/, what: { status: 503 } }
      assert.strictEqual(
        yield* messageOf(run),
        "system: source me/tiny@main: the Hub answers 503; run it again later",
      )
      hub.fault = { when: /model\.safetensors/, what: { stopAfter: 10 } }
      assert.match(
        yield* messageOf(run),
        /^system: me\/tiny@\w+\/model\.safetensors: .*the Hub stopped after \d+ bytes/,
      )
      hub.fault = undefined
      assert.isAbove((yield* run).count, 0)
    }),
  )
})
