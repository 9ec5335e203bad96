import { assert, layer } from "@effect/vitest"
import { Checkpoint } from "@hila/model"
import { Effect, Layer, Logger } from "effect"
import { appendFile, readdir } from "node:fs/promises"
import * as Collaboration from "../src/Collaboration.ts"
import * as Head from "../src/heads/Head.ts"
import { Bundle, Compute } from "../src/index.ts"
import { Packed } from "./support/packed.ts"

layer(Packed.layer.pipe(Layer.provideMerge(Compute.layerWith({ workers: 1, threads: 1 }))))(
  "bundles",
  (it) => {
    it.effect("a bundle whose files are not those that were packed does not open", () =>
      Effect.gen(function* () {
        const { contents, directory } = yield* Packed
        yield* Bundle.write(`${directory}/other`, contents)
        yield* Effect.promise(() => appendFile(`${directory}/other/experts/end/vocab.txt`, "more\n"))
        const error = yield* Effect.flip(Bundle.read(`${directory}/other`))
        assert.match(error.message, /experts\/end\/vocab\.txt is not what was packed/)
        assert.match((yield* Effect.flip(Bundle.read(directory))).message, /is no bundle/)
        const again = yield* Effect.flip(Bundle.write(`${directory}/bundle`, contents))
        assert.match(again.message, /already exists/)
        yield* Checkpoint.open(`${directory}/bundle/experts/start`)
      }).pipe(Effect.scoped),
    )

    it.effect("a bundle that holds more than was packed is told of, and refused where it would be read", () =>
      Effect.gen(function* () {
        const { contents, directory } = yield* Packed
        const at = `${directory}/more`
        yield* Bundle.write(at, contents)
        yield* Effect.promise(() => appendFile(`${at}/NOTES.md`, "mine\n"))
        const warnings: Array<string> = []
        const told = Logger.make<unknown, void>(({ message }) => void warnings.push(String(message)))
        yield* Bundle.read(at).pipe(Effect.provide(Logger.layer([told])))
        assert.match(warnings.join(), /more holds NOTES\.md beside what was packed, which is not read$/)
        yield* Effect.promise(() => appendFile(`${at}/experts/end/chat_template.jinja`, "{}"))
        const error = yield* Effect.flip(Bundle.read(at))
        assert.match(error.message, /experts\/end\/chat_template\.jinja was not packed/)
        assert.strictEqual(error.blame, "input")
      }).pipe(Effect.scoped),
    )

    it.effect("a bundle of parts that do not belong together is neither written nor opened", () =>
      Effect.gen(function* () {
        const { contents, directory } = yield* Packed
        const cascade = { order: [1, 0], thresholds: [0.5, 1.01], temperatures: [1, 1] }
        const rest = { budget: 1, share: 1, accuracy: 0 }
        const wrong: ReadonlyArray<readonly [Partial<Bundle.Contents>, string]> = [
          [{ classes: ["a", "b"] }, "the head knows 3 classes, 2 are named"],
          [{ classes: ["a", "a", "b"] }, 'the class "a" is named twice'],
          [
            { models: contents.models.toReversed(), specs: contents.specs.toReversed() },
            "the head joins the experts start, end, in this order; got end, start",
          ],
          [{ topK: 3 }, "topK 3: strategy concat takes 1 to 2 of these experts"],
          [
            { cascade: { ...cascade, ...rest, order: [1, 7] } },
            "the cascade's order is 1, 7; expected each of 0…1 once",
          ],
          [
            { cascade: { ...cascade, ...rest, thresholds: [1] } },
            "the cascade has 1 thresholds and 2 temperatures",
          ],
          [{ topK: 1, cascade: { ...cascade, ...rest } }, "topK and a cascade are two ways"],
        ]
        for (const [change, message] of wrong) {
          const given = { ...contents, ...change }
          const error = yield* Effect.flip(Bundle.write(`${directory}/wrong`, given))
          assert.include(error.message, message)
          assert.strictEqual(error.blame, "input")
          assert.include((yield* Effect.flip(Collaboration.open(given))).message, message)
        }
        // A head of other sizes is found when its experts are there.
        const { parameters, spec } = yield* Head.read(contents.head)
        const narrow = { ...spec, experts: spec.experts.map((expert) => ({ ...expert, width: 4 })) }
        const head = yield* Head.write(`${directory}/narrow.safetensors`, {
          spec: narrow,
          parameters,
          curve: [],
        })
        const error = yield* Effect.flip(Collaboration.open({ ...contents, head }))
        assert.include(error.message, "expert start hands on 16 numbers, the head was trained on 4")
        const model = { path: contents.models[0]!.files["model.safetensors"]! }
        assert.include(
          (yield* Effect.flip(Bundle.write(`${directory}/wrong`, { ...contents, head: model }))).message,
          "expected a head",
        )
        const names = yield* Effect.promise(() => readdir(directory))
        assert.deepStrictEqual(
          names.filter((name) => name.startsWith("wrong")),
          [],
        )
      }).pipe(Effect.scoped),
    )

    it.effect("a bundle that cannot be finished leaves nothing", () =>
      Effect.gen(function* () {
        const { contents, directory } = yield* Packed
        const [first, second] = contents.models
        const lost = { ...second!, files: { ...second!.files, "config.json": `${directory}/not there` } }
        const error = yield* Effect.flip(
          Bundle.write(`${directory}/half`, { ...contents, models: [first!, lost] }),
        )
        assert.include(error.message, "not there")
        const names = yield* Effect.promise(() => readdir(directory))
        assert.deepStrictEqual(
          names.filter((name) => name.startsWith("half")),
          [],
        )
      }).pipe(Effect.scoped),
    )
  },
)
