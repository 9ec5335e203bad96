import { assert, describe, it } from "@effect/vitest"
import { Checkpoint, Safetensors, SafetensorsWriter } from "@hila/model"
import * as Effect from "effect/Effect"
import { cpSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))
const [embedding, head] = ["model.embed_tokens.weight", "lm_head.weight"]

describe("A head that differs from the embedding its config ties it to", () => {
  it.live("is told on standard error and by inspect, and the answer is for programs alone", () =>
    Effect.gen(function* () {
      const bench = yield* workbench
      const directory = bench.path("headed")
      cpSync(join(family, "base"), directory, { recursive: true })
      const [base, math] = [
        yield* Checkpoint.open(join(family, "base")),
        yield* Checkpoint.open(join(family, "math")),
      ]
      const other = math.tensors.get(embedding) ?? assert.fail(embedding)
      const stored = new Map([...base.tensors, [head, other]])
      yield* SafetensorsWriter.write(join(directory, "model.safetensors"), {
        metadata: { format: "pt" },
        tensors: [...stored].map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
        data: ({ name }, put) => Effect.flatMap(Safetensors.read(stored.get(name) ?? assert.fail(name)), put),
      })
      const told = /lm_head\.weight differs from the embedding that the config ties it to/
      const spoken = yield* bench.hila(
        "generate",
        "headed",
        "--prompt",
        "Q: 1+1",
        "--max-tokens",
        "2",
        "--json",
      )
      assert.match(spoken.err, /^hila: warning: [^\n]+\n$/)
      assert.match(spoken.err, told)
      assert.doesNotThrow(() => JSON.parse(spoken.out))
      const inspected = yield* bench.hila("inspect", "headed", "--strict")
      assert.match(inspected.err, told)
      assert.strictEqual(inspected.code, 2)
    }),
  )
})
