import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { type Layout, layouts, merged, pair } from "./stacked.ts"
import { tensorValues } from "./support.ts"
import { words } from "./tiny.ts"

const all: Readonly<Record<string, Layout>> = layouts

describe("rows of tokens in models of several stacks (case 04c-vlm-head-rows)", () => {
  const ofTokens = /(?:embed_tokens|lm_head|shared|proj_out)\.weight$/
  const tokens = ["<unk>", "w1", "w2", "w3", "w4", "w5"]
  const other = ["<unk>", "w1", "w2", "w4", "w3", "w5", "w6"]

  /** A layout with so many tokens, which no other size is like. */
  const sized = ({ config, names }: Layout, size: number): Layout => ({
    config: JSON.parse(JSON.stringify(config).replaceAll('"vocab_size":4', `"vocab_size":${size}`)),
    names: names.filter((name) => name !== "final_logits_bias"),
    shapes: Object.fromEntries(names.flatMap((name) => (ofTokens.test(name) ? [[name, [size, 4]]] : []))),
  })

  for (const [name, layout] of Object.entries(all)) {
    it.effect(`${name}: move alike in embeddings and heads, and the size is where config.json says it`, () =>
      Effect.gen(function* () {
        const { a, b, directory } = yield* pair(sized(layout, tokens.length), sized(layout, other.length))
        for (const [model, own] of Object.entries({ a: tokens, b: other })) {
          const path = join(directory, model, "tokenizer.json")
          yield* Effect.promise(() => writeFile(path, JSON.stringify(words(own))))
        }
        const half = (model: string) => `- {model: ${model}, parameters: {weight: 0.5}}\n`
        const result = yield* merged(
          directory,
          `merge_method: linear\nmodels:\n${half("a")}${half("b")}tokenizer_source: union\n`,
        )
        const [from, to, got] = [
          yield* tensorValues(a.tensors),
          yield* tensorValues(b.tensors),
          yield* tensorValues(result.tensors),
        ]
        let moved = 0
        for (const [tensor, values] of got) {
          const [x, y] = [from.get(tensor) ?? [], to.get(tensor) ?? []]
          const rows = ofTokens.test(tensor)
          if (rows) moved += 1
          for (const [i, value] of values.entries()) {
            const [row, column] = [Math.floor(i / 4), i % 4]
            const token = [...tokens, "w6"][row] ?? ""
            const theirs = (rows ? other.indexOf(token) : row) * 4 + column
            const ours = rows && !tokens.includes(token) ? y[theirs] : x[i]
            assert.approximately(value, ((ours ?? 9) + (y[theirs] ?? 9)) / 2, 1e-6, `${tensor} ${i}`)
          }
        }
        assert.strictEqual(moved, layout.names.filter((tensor) => ofTokens.test(tensor)).length)
        assert.strictEqual(
          JSON.stringify(result.config),
          JSON.stringify(a.config).replaceAll('"vocab_size":6', '"vocab_size":7'),
        )
      }),
    )
  }
})
