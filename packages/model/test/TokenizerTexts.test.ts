/** Odd texts: ids and texts are those of the Rust library as Python has it (tools/oracles/tokenizer_texts.py). */
import { assert, describe, it } from "@effect/vitest"
import { at, entry } from "@hila/core/Lookup"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Tokenizer } from "../src/index.ts"
import { hasShared, temporary } from "./support/fixtures.ts"
import { fixture, shared } from "./support/models.ts"

const read = <A>(name: string): A =>
  JSON.parse(readFileSync(new URL(`fixtures/tokenizers/${name}.json`, import.meta.url), "utf8"))

const { repeated, texts } = read<{
  readonly texts: ReadonlyArray<string>
  readonly repeated: ReadonlyArray<readonly [string, number]>
}>("texts")
const every = [...texts, ...repeated.map(([text, times]) => text.repeat(times))]
const digests = read<Readonly<Record<string, string>>>("digests")

/** The digests of a tokenizer's answers, as the script makes them. */
const answersOf = Effect.fnUntraced(function* (tokenizer: Tokenizer.Tokenizer, asked: ReadonlyArray<string>) {
  const whole = yield* tokenizer.encodeAll(asked)
  const plain = yield* tokenizer.encodeAll(asked, { addSpecial: false })
  const decoded = yield* tokenizer.decodeAll(plain)
  const skipping = yield* tokenizer.decodeAll(plain, { skipSpecial: true })
  return asked.map((_, i) => {
    const made = [at(whole, i), at(plain, i), decoded[i], skipping[i]]
    return createHash("sha256").update(JSON.stringify(made)).digest("hex").slice(0, 8)
  })
})

const check = Effect.fnUntraced(function* (
  name: string,
  tokenizer: Tokenizer.Tokenizer,
  /** Small definitions are spared the long texts, which are about speed and stacks. */
  asked: ReadonlyArray<string> = every,
) {
  const expected = entry(digests, name).match(/.{8}/g) ?? []
  const found = yield* answersOf(tokenizer, asked)
  assert.lengthOf(expected, every.length)
  const wrong = found.flatMap((digest, i) => (digest === expected[i] ? [] : [at(every, i).slice(0, 80)]))
  assert.deepStrictEqual(wrong, [])
})

const openAt = (directory: string) =>
  Tokenizer.open({
    files: Object.fromEntries(readdirSync(directory).map((name) => [name, `${directory}/${name}`])),
  })

describe("a thousand odd texts", () => {
  // Each setting that implementations are known to miss has a small definition of its own. The cases: single-word is
  // tokenizer-added-single-word; bpe-prefix, tokenizer-bpe-prefix; byte-level, tokenizer-bytelevel-bom-nel; unknown-fused,
  // tokenizer-fuse-unk; metaspace-always, tokenizer-metaspace-split; split-Isolated-inverted, tokenizer-split-invert;
  // split-MergedWithPrevious, tokenizer-split-merged-with-previous; unigram-bytes, tokenizer-unigram-byte-fallback;
  // precompiled, tokenizer-precompiled-charsmap. The text of 300,000 characters is tokenizer-unigram-long-text, by the
  // Unigram tokenizer below.
  const definitions = read<Readonly<Record<string, object>>>("definitions")
  for (const [name, definition] of Object.entries(definitions)) {
    it.effect(`are encoded and decoded by ${name} as by the Rust library`, () =>
      Effect.gen(function* () {
        const path = join(yield* temporary, "tokenizer.json")
        writeFileSync(path, JSON.stringify(definition))
        yield* check(name, yield* Tokenizer.open({ files: { "tokenizer.json": path } }), texts)
      }),
    )
  }

  it.effect("are encoded and decoded by the micro family as by the Rust library", () =>
    Effect.gen(function* () {
      yield* check("micro", yield* openAt(fixture("base")))
    }),
  )

  describe.skipIf(!hasShared)("by larger tokenizers (needs ../shared)", () => {
    for (const [name, directory] of [
      ["realtext", "models/realtext/base"],
      ["gpt2", "models/tokenizer-gpt2"],
      ["phi-3-mini", "models/tokenizer-phi-3-mini"],
      ["qwen2.5", "models/tokenizer-qwen2.5"],
      ["smollm2", "models/tokenizer-smollm2"],
      ["unigram", "models/tokenizer-unigram"],
      ["wordpiece", "models/tokenizer-wordpiece"],
      ["stories260K", "models/stories260K-hf"],
    ] as const) {
      it.effect(`${name} encodes and decodes them as the Rust library`, () =>
        Effect.gen(function* () {
          yield* check(name, yield* openAt(shared(directory)))
        }),
      )
    }
  })
})
