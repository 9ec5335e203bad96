import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { AblationGates, type Example, InterpolatedGates, Runtime, type Unit } from "../src/index.ts"
import { hasShared } from "./support/fixtures.ts"
import { distance, fixture, openDelta, openModel, readJson, readText, shared } from "./support/models.ts"

interface Scoring {
  readonly samples: ReadonlyArray<Example.Example>
  readonly lossBase: ReadonlyArray<number>
  readonly lossExpert: ReadonlyArray<number>
  readonly units: ReadonlyArray<{
    readonly kind: Unit.UnitKind | "residual"
    readonly layer: number
    readonly index: number
    readonly revert: ReadonlyArray<number>
    readonly add: ReadonlyArray<number>
    readonly ablate?: ReadonlyArray<number>
  }>
}

interface Question {
  readonly domain: string
  readonly question: string
  readonly answer: string
  readonly outputs: Readonly<Record<string, string>>
}

const experts = ["math", "code", "lang"] as const

/** Element by element, since losses come from float64 sums. */
const minus = (a: Float64Array, b: Float64Array) => a.map((value, i) => value - (b[i] ?? NaN))

layer(Runtime.layerWith({ workers: 2, threads: 2 }))("Oracles", (it) => {
  describe.skipIf(!hasShared)("scoring (needs ../shared)", () => {
    for (const expert of experts) {
      it.effect(`micro ${expert}: losses, revert, add and ablate of every unit are PyTorch's`, () =>
        Effect.gen(function* () {
          const oracle = yield* readJson<Scoring>(shared(`oracles/scoring/micro-${expert}.json`))
          const model = yield* openModel(fixture(expert))
          const delta = yield* openDelta(fixture("base"), fixture(expert))
          const { samples } = oracle
          const none = InterpolatedGates.filled(delta.shape, 0)
          const all = InterpolatedGates.filled(delta.shape, 1)
          const base = yield* delta.losses(samples, none)
          const tuned = yield* delta.losses(samples, all)
          assert.isAtMost(distance(base, oracle.lossBase), 1e-5, "lossBase")
          assert.isAtMost(distance(tuned, oracle.lossExpert), 1e-5, "lossExpert")
          const own = yield* model.losses(samples)
          assert.isAtMost(distance(own, oracle.lossExpert), 1e-5, "lossExpert of the model alone")

          yield* Effect.forEach(
            oracle.units,
            Effect.fnUntraced(function* ({ ablate, add, index, kind, layer: l, revert }) {
              const moved = (
                gates: InterpolatedGates.InterpolatedGates,
                value: number,
              ): InterpolatedGates.InterpolatedGates =>
                kind === "residual"
                  ? { ...gates, residual: value }
                  : InterpolatedGates.with(gates, delta.shape, { kind, layer: l, index }, value)
              const label = `${kind} ${l}.${index}`
              const reverted = minus(yield* delta.losses(samples, moved(all, 0)), tuned)
              assert.isAtMost(distance(reverted, revert), 1e-4, `revert ${label}`)
              const added = minus(base, yield* delta.losses(samples, moved(none, 1)))
              assert.isAtMost(distance(added, add), 1e-4, `add ${label}`)
              if (ablate === undefined || kind === "residual") return
              const gates = AblationGates.with(
                AblationGates.filled(model.shape, 1),
                model.shape,
                { kind, layer: l, index },
                0,
              )
              const ablated = minus(yield* model.losses(samples, { gates }), own)
              assert.isAtMost(distance(ablated, ablate), 1e-4, `ablate ${label}`)
            }),
            { concurrency: 2, discard: true },
          )
        }),
      )

      it.effect(`micro ${expert}: generated tokens are the golden ones`, () =>
        Effect.gen(function* () {
          const { samples } = yield* readJson<Scoring>(shared(`oracles/scoring/micro-${expert}.json`))
          const model = yield* openModel(fixture(expert))
          const prompts = samples.map(({ prompt }) => prompt)
          const written = yield* model.generate(prompts, { maxTokens: 48, stop: ["\n"] })
          written.forEach(({ promptLength, tokens }, i) => {
            assert.deepStrictEqual(tokens, samples[i]?.tokens)
            assert.strictEqual(promptLength, samples[i]?.promptLength)
          })
        }),
      )
    }
  })

  describe.skipIf(!hasShared)("questions (needs ../shared)", () => {
    for (const name of ["base", ...experts]) {
      it.effect(`micro ${name} answers as recorded, and as often right`, () =>
        Effect.gen(function* () {
          const lines = (yield* readText(shared("models/micro/questions.jsonl"))).trim().split("\n")
          const questions = lines.map((line) => JSON.parse(line) as Question)
          const accuracy = yield* readJson<Record<string, Record<string, number>>>(
            shared("models/micro/accuracy.json"),
          )
          const model = yield* openModel(fixture(name))
          const prompts = questions.map(({ question }) => `Q: ${question}\nA:`)
          const written = yield* model.generate(prompts, { maxTokens: 48, stop: ["\n"] })
          const answers = written.map(({ response }) => response.split("\n")[0]?.trim())
          const exceptions = questions.flatMap(({ outputs }, i) => (outputs[name] === answers[i] ? [] : [i]))
          assert.isAtMost(exceptions.length / questions.length, 0.005)
          // An exception has to come from two nearly equal logits somewhere in the response.
          for (const i of exceptions) {
            const promptLength = written[i]?.promptLength ?? 0
            const tokens = written[i]?.tokens ?? []
            const [logits = new Float32Array()] = yield* model.logits([tokens])
            const { vocabSize } = model.shape
            const gaps = tokens.slice(promptLength).map((_, t) => {
              const at = promptLength - 1 + t
              const [first = NaN, second = NaN] = logits
                .slice(at * vocabSize, (at + 1) * vocabSize)
                .toSorted((a, b) => b - a)
              return first - second
            })
            assert.isAtMost(Math.min(...gaps), 1e-3, questions[i]?.question)
          }
          for (const domain of experts) {
            const own = questions.flatMap((question, i) =>
              question.domain === domain ? [question.answer === answers[i] ? 1 : 0] : [],
            )
            const share = own.reduce<number>((sum, hit) => sum + hit, 0) / own.length
            assert.isAtMost(Math.abs(share - (accuracy[name]?.[domain] ?? NaN)), 0.005 + 1e-4, domain)
          }
        }),
      )
    }
  })
})
