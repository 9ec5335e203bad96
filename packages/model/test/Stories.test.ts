import { assert, describe, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { join } from "node:path"
import { Checkpoint, Runtime } from "../src/index.ts"
import { hasShared, temporary } from "./support/fixtures.ts"
import { convert } from "./support/llama2c.ts"
import { distance, openModel, readJson, shared } from "./support/models.ts"

interface Expected {
  readonly cases: ReadonlyArray<{
    readonly prompt: string
    readonly promptIds: ReadonlyArray<number>
    readonly tokens: ReadonlyArray<number>
    readonly text: string
  }>
}

const converted = Effect.gen(function* () {
  const directory = join(yield* temporary, "stories260K")
  yield* convert(
    shared("models/stories260K/stories260K.bin"),
    shared("models/stories260K/tok512.bin"),
    directory,
  )
  return directory
})

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("stories260K", (it) => {
  describe.skipIf(!hasShared)("from llama2.c's own files (needs ../shared)", () => {
    it.effect("tells its stories", () =>
      Effect.gen(function* () {
        const model = yield* openModel(yield* converted)
        const { cases } = yield* readJson<Expected>(shared("oracles/stories260K/expected.json"))
        const written = yield* model.generate(
          cases.map(({ prompt }) => prompt),
          { maxTokens: 120 },
        )
        const tokenizer = yield* model.tokenizer
        for (const [i, { prompt, promptIds, text, tokens }] of cases.entries()) {
          assert.deepStrictEqual(written[i]?.tokens, [...promptIds, ...tokens])
          const whole = yield* tokenizer.decode(written[i]?.tokens ?? [], { skipSpecial: true })
          assert.strictEqual(whole, text)
          const pieces = yield* Stream.runCollect(model.stream(prompt, { maxTokens: 120 }))
          assert.strictEqual(pieces.map((piece) => piece.text).join(""), written[i]?.response)
        }
        assert.match(written[0]?.response ?? "", /^, there was a little girl named Lily\. She loved to play/)
      }),
    )

    it.effect("the converter's tensors are those of the same model as published in safetensors", () =>
      Effect.gen(function* () {
        const ours = yield* Checkpoint.open(yield* converted)
        const theirs = yield* Checkpoint.open(shared("models/stories260K-hf"))
        assert.deepStrictEqual([...ours.tensors.keys()].toSorted(), [...theirs.tensors.keys()].toSorted())
        for (const name of ours.tensors.keys()) {
          const [a, b] = [
            yield* Checkpoint.readFloat32(ours, name),
            yield* Checkpoint.readFloat32(theirs, name),
          ]
          assert.strictEqual(distance(a, b), 0, name)
        }
      }),
    )
  })
})
