import { assert, layer } from "@effect/vitest"
import { Stage } from "@hila/core"
import { Checkpoint, Runtime } from "@hila/model"
import { Effect, Layer } from "effect"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
// oxlint-disable-next-line no-restricted-imports -- a model that the model package is tested with; packages do not export it
import { biased } from "../../packages/model/test/support/biased.ts"
import * as Tuning from "../stages/Tuning.ts"
import { temporaryStore } from "./command.ts"

const open = (name: string) =>
  Checkpoint.open(fileURLToPath(new URL(`../../fixtures/micro/${name}`, import.meta.url)))

const query = "model.layers.0.self_attn.q_proj"

layer(Layer.mergeAll(Runtime.layerWith({ workers: 1, threads: 1 }), Stage.layerDetached))(
  "tuning over a base and an expert of which one has biases",
  (it) => {
    for (const [name, flipped] of [
      ["a base without and an expert with", false],
      ["a base with and an expert without", true],
    ] as const) {
      it.effect(`is refused with both tensors named: ${name}`, () =>
        Effect.gen(function* () {
          const [plain, other] = [
            yield* open("base"),
            yield* biased(join(yield* temporaryStore, "m"), "math"),
          ]
          const [base, expert] = flipped ? [other, plain] : [plain, other]
          for (const objective of ["loss", "retention"] as const) {
            const error = yield* Effect.flip(
              Tuning.tune.run(
                { base, directions: [expert], tables: [], experts: [expert], golden: [[]] },
                {
                  variants: [{ name: "plain", directions: [0] }],
                  domains: { lambda: [0.5] },
                  search: { _tag: "grid" },
                  objective,
                },
              ),
            )
            const [without, has] = [`${query}.weight without a bias`, `${query}.weight with ${query}.bias`]
            assert.include(
              error.message,
              `layers.0.query: expected ${flipped ? has : without}, got ${flipped ? without : has}`,
            )
          }
        }),
      )
    }
  },
)
