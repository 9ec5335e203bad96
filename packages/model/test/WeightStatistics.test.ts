import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { join } from "node:path"
import { WeightStatistics } from "../src/index.ts"
import { fileOf, temporary } from "./support/fixtures.ts"

const values = new Map([
  ["b.weight.input", { shape: [2, 2], data: [1, 2, 2, 5] }],
  ["a.weight.input", { shape: [3], data: [1, 1e-12, 3] }],
])

const written = Effect.gen(function* () {
  const path = join(yield* temporary, "gram.safetensors")
  return yield* WeightStatistics.write(path, {
    kind: "gram",
    examples: 2,
    tokens: 17,
    options: { blocked: true },
    transposed: ["b.weight"],
    tensors: new Map([...values].map(([name, { shape }]) => [name, shape])),
    values: (name) => Effect.succeed(Float32Array.from(values.get(name)?.data ?? [])),
  })
})

/** A header with the given metadata and one tensor of four bytes. */
const header = (metadata: Readonly<Record<string, string>>, dtype = "F32", shape = [1]) =>
  JSON.stringify({ __metadata__: metadata, a: { dtype, shape, data_offsets: [0, 4] } })

const good = { "hila.statistics": "fisher", examples: "1", tokens: "4" }

describe("WeightStatistics", () => {
  it.effect("reads back what was written", () =>
    Effect.gen(function* () {
      const statistics = yield* written
      assert.strictEqual(statistics.kind, "gram")
      assert.deepStrictEqual([statistics.examples, statistics.tokens], [2, 17])
      assert.deepStrictEqual(statistics.options, { blocked: true })
      assert.deepStrictEqual([...statistics.transposed], ["b.weight"])
      assert.deepStrictEqual([...statistics.tensors.keys()], [...values.keys()])
      for (const [name, { data, shape }] of values) {
        const info = statistics.tensors.get(name)
        if (info === undefined) return assert.fail(`${name} is missing`)
        assert.deepStrictEqual(info.shape, shape)
        assert.deepStrictEqual([...(yield* WeightStatistics.read(info))], [...Float32Array.from(data)])
      }
    }),
  )

  it.effect("is an artifact that decodes to a handle", () =>
    Effect.gen(function* () {
      const statistics = yield* written
      const path = join(yield* temporary, "copy")
      yield* WeightStatistics.artifact.encode(statistics, path)
      const content = { _tag: "File", path, size: 0, digest: "" } as const
      const decoded = yield* WeightStatistics.artifact.decode(content)
      assert.strictEqual(decoded.path, path)
      assert.strictEqual(
        WeightStatistics.artifact.summary(decoded),
        "gram of 2 tensors over 2 examples, 17 tokens",
      )
    }),
  )

  const mistakes = [
    [
      "is a checkpoint",
      header({ format: "pt" }),
      /holds no weight statistics: .*one of fisher.*no such entry/,
    ],
    ["has an unknown kind", header({ ...good, "hila.statistics": "hessian" }), /got "hessian"/],
    [
      "is over no example",
      header({ ...good, examples: "0" }),
      /"examples": expected a whole number from 1, got 0/,
    ],
    ["counts no tokens", header({ "hila.statistics": "gram", examples: "1" }), /"tokens": .* got undefined/],
    ["has broken options", header({ ...good, options: "{" }), /"options": expected a JSON object, got \{/],
    [
      "lists no names",
      header({ ...good, transposed: "[1]" }),
      /"transposed": expected a JSON list of names, got/,
    ],
    [
      "is of another type",
      header(good, "BF16", [2]),
      /tensor "a": type of statistics: expected F32, got BF16/,
    ],
  ] as const
  for (const [what, text, says] of mistakes) {
    it.effect(`refuses a file that ${what} in one line`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(WeightStatistics.open(yield* fileOf(text, 4)))
        assert.match(error.message, says)
        assert.notInclude(error.message, "\n")
        assert.strictEqual(error.blame, "input")
      }),
    )
  }
})
