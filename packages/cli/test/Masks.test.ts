import { assert, describe, it } from "@effect/vitest"
import { prune } from "@hila/merge"
import { Checkpoint, Unit } from "@hila/model"
import * as Effect from "effect/Effect"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))

describe("hila masks show", () => {
  it.live("says what a mask keeps of each unit, for people and for programs", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const [base, expert] = [
        yield* Checkpoint.open(`${family}base`),
        yield* Checkpoint.open(`${family}code`),
      ]
      const { units } = yield* Unit.partition(base, "kvGroup")
      const rows = units.map(({ id, index, kind, layer, size }, at) => ({
        unit: id,
        kind,
        layer,
        index,
        size,
        score: at + 1,
        standardError: 0,
        relative: 1,
      }))
      yield* prune(
        { base, expert, importance: { scheme: "kvGroup", method: "test", rows } },
        { density: 0.5, dropFraction: 0, gamma: 1, rhoMin: 0.05 },
        bench.path("code.mask"),
      )
      const shown = yield* bench.hila("masks", "show", "code.mask")
      assert.strictEqual(shown.err, "")
      assert.match(
        shown.out,
        /^keeps \d+ of \d+ scalars \(0\.500\), 0 of 20 units dropped\n {2}unit +scalars +kept/,
      )
      assert.match(shown.out, /layers\.3\.mlp +147456 +73728 +0\.5000 +1\.000/)
      const json = yield* bench.hila("masks", "show", "code.mask", "--json")
      const { scheme, units: listed }: { readonly scheme: string; readonly units: ReadonlyArray<object> } =
        JSON.parse(json.out)
      assert.strictEqual(scheme, "kvGroup")
      assert.lengthOf(listed, 20)
      const wrong = yield* bench.hila("masks", "show", `${family}base/model.safetensors`)
      assert.strictEqual(wrong.code, 2)
      assert.match(wrong.err, /the header has no metadata named mask\n$/)
    }),
  )
})
