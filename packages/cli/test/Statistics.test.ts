import { assert, describe, it } from "@effect/vitest"
import { WeightStatistics } from "@hila/model"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const math = fileURLToPath(new URL("../../../fixtures/micro/math", import.meta.url))

const golden = [
  ["87+45", "132"],
  ["39+83", "122"],
]
  .map(([question, answer]) => JSON.stringify({ prompt: `Q: ${question}\nA:`, response: ` ${answer}\n` }))
  .join("\n")

describe("hila statistics", () => {
  it.effect(
    "says what it takes, keeps the result, and writes the file",
    () =>
      Effect.gen(function* () {
        const { hila, path, write } = yield* workbench
        write("golden.jsonl", golden)
        const collect = (...more: ReadonlyArray<string>) =>
          hila(
            "statistics",
            math,
            "--examples",
            path("golden.jsonl"),
            "--kind",
            "kronecker",
            "--output",
            path("math.safetensors"),
            "--store",
            path("store"),
            ...more,
          )
        const first = yield* collect("--blocked", "--memory", "2")
        assert.strictEqual(first.err, "")
        assert.match(
          first.out,
          /kronecker as 60 tensors, 2\.0 MiB, on 2 examples: \d+ forward and \d+ backward passes\n/,
        )
        assert.match(first.out, /at most about \d+\.\d s left, by the time of the first part\n/)
        assert.match(
          first.out,
          /math\.safetensors: kronecker of 60 tensors over 2 examples, 32 tokens, 2\.0 MiB/,
        )
        const again = yield* collect("--blocked", "--memory", "2", "--json")
        assert.deepInclude(JSON.parse(again.out), { kind: "kronecker", examples: 2, tokens: 32, tensors: 60 })
        const { options, tensors } = yield* WeightStatistics.open(path("math.safetensors"))
        assert.deepStrictEqual(options, { blocked: true, predictions: 10 })
        assert.deepStrictEqual(
          tensors.get("model.layers.3.self_attn.k_proj.weight.outputGradient")?.shape,
          [4, 16, 16],
        )

        const small = yield* collect("--memory", "1")
        assert.strictEqual(small.code, 2)
        assert.match(small.err, /takes 2359296 bytes of the 1048576 of the option memory/)
        const nowhere = yield* collect("--blocked", "--memory", "2", "--output", "/nowhere/x")
        assert.strictEqual(nowhere.code, 2)
      }).pipe(Effect.scoped),
    120_000,
  )
})
