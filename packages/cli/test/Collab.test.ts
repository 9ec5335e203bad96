import { assert, describe, it } from "@effect/vitest"
import { Bundle, Head, type HeadSpec, Synthetic, WordPiece } from "@hila/collab"
import * as EncoderFiles from "@hila/collab/training/EncoderFiles"
import { Effect } from "effect"
import { readdirSync } from "node:fs"
import { workbench } from "./workbench.ts"

const { classes, train } = Synthetic.make({ classes: 2, train: 40, test: 1, seed: 0 })
const vocabulary = WordPiece.train(
  train.map(({ text }) => text),
  { size: 100 },
)
const size = { layers: 1, hidden: 8, heads: 2, inner: 8, positions: 16 }
const spec: HeadSpec.HeadSpec = {
  strategy: "gatedFeatures",
  experts: [{ name: "only", width: 8 }],
  classes: 2,
  query: 8,
  width: 8,
  hidden: 8,
  heads: 2,
  rank: 2,
  groups: [],
  temperatures: [1],
}

describe("hila collab and hila serve", () => {
  it.effect("pack experts and head into a directory that is checked when it is opened", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      const parameters = EncoderFiles.initial(size, vocabulary.length, 2, 0)
      yield* EncoderFiles.write(path("expert"), { size, vocabulary, classes, parameters })
      yield* Head.write(path("head.safetensors"), { spec, parameters: Head.initial(spec, 0), curve: [] })
      const expert = { path: "expert", name: "only", view: { from: "start", tokens: 9 }, pooling: "mean" }
      write(
        "contents.json",
        JSON.stringify({ classes, head: "head.safetensors", topK: 1, experts: [expert] }),
      )
      const packed = yield* hila("collab", "pack", path("contents.json"), path("bundle"))
      assert.strictEqual(packed.err, "")
      assert.match(packed.out, /bundle: 1 experts, 2 classes, 7 files\n/)
      assert.sameMembers(readdirSync(path("bundle")), ["bundle.json", "experts", "head.safetensors"])
      const manifest = yield* Bundle.read(path("bundle"))
      assert.strictEqual(manifest.topK, 1)
      assert.match(manifest.files["experts/only/config.json"] ?? "", /^[0-9a-f]{64}$/)
      const again = yield* hila("collab", "pack", path("contents.json"), path("bundle"))
      assert.strictEqual(again.code, 2)
      assert.match(again.err, /already exists; give a new or empty directory/)
    }).pipe(Effect.scoped),
  )

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
      write("contents.json", JSON.stringify({ clases: ["a"], classes: ["a"], head: "h", experts: [] }))
      const misspelt = yield* hila("collab", "pack", path("contents.json"), path("bundle"))
      assert.strictEqual(misspelt.code, 2)
      assert.match(misspelt.err, /contents\.json: .*clases/)
      const served = yield* hila("serve", "collab", path("bundle"))
      assert.strictEqual(served.code, 2)
      assert.match(served.err, /is no bundle: it has no bundle\.json/)
    }).pipe(Effect.scoped),
  )
})
