import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { Features, LabelledText } from "@hila/collab"
import { Source } from "@hila/core"
import { headOptions, heads } from "../stages/Collab.ts"
import type * as Search from "../stages/Search.ts"
import { tunedHead } from "../stages/TunedHeads.ts"
import { hila, temporaryStore } from "./command.ts"

const file = fileURLToPath(new URL("../collab.ts", import.meta.url))
const small = ["rows=120", "hidden=32", "epochs=1", "tokens=8", "vocabulary=200", "larger=false"]
const searched = [...small, "tune=2", "narrow=true"]

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
          "bundle",
          "tuning-F3",
          "--store",
          store,
          ...searched.flatMap((set) => ["--set", set]),
        ]
        const first = yield* hila(args)
        assert.strictEqual(first.error, "")
        for (const name of [
          "expert brief",
          "F1 static average",
          "F4 attention, top 2",
          "F7 cascade 50 %",
          "oracle",
          "F4 attention, annealed, top 1",
          "F3 concat + MLP, tuned",
          "of 2 trials, macro-F1 of the validation rows cost 0.",
        ]) {
          assert.include(first.out, name)
        }
        assert.match(first.out, /bundle: \d+ files/)
        const second = yield* hila(args)
        assert.match(second.out, /\d+ hits, 0 runs/)
      }),
    240_000,
  )

  it("searches no number that a head does not have", () => {
    const features = Source.file("features.safetensors", Features.artifact)
    const texts = Source.file("texts.json", LabelledText.divided)
    const [{ name, ...own }] = heads
    const search = { _tag: "grid" } as const
    const tuned = (domains: Search.Domains) =>
      tunedHead(
        { features: [features], queries: features, texts },
        name,
        { ...headOptions, ...own, seed: 0 },
        { domains, search },
      )
    assert.throws(
      () => tuned({ ratee: [1] }),
      /tuning of F1 static average: there is no number "ratee" of a head to search; there are width, hidden/,
    )
    assert.doesNotThrow(() => tuned({ rate: [1e-3] }))
  })
})
