import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { closeSync, cpSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { CausalModel, Checkpoint, Hub, LogitsFusion } from "../src/index.ts"
import { within } from "./support/pool.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import { temporary } from "./support/fixtures.ts"
import { mockHub } from "./support/mock-hub.ts"
import { example, fixture } from "./support/models.ts"

/** A copy of a micro model that may be damaged. */
const copy = Effect.fnUntraced(function* (name: string) {
  const directory = join(yield* temporary, name)
  cpSync(fixture(name), directory, { recursive: true })
  return directory
})

const editJson = (path: string, edit: (value: Record<string, any>) => void) => {
  const value: Record<string, any> = JSON.parse(readFileSync(path, "utf8"))
  edit(value)
  writeFileSync(path, JSON.stringify(value))
}

/** Writes one bf16 value, 0x7fc0 for NaN, into a tensor. */
const poison = Effect.fnUntraced(function* (directory: string, tensor: string) {
  const { tensors } = yield* Checkpoint.open(directory)
  const file = openSync(join(directory, "model.safetensors"), "r+")
  writeSync(file, Uint8Array.of(0xc0, 0x7f), 0, 2, tensors.get(tensor)?.offset ?? 0)
  closeSync(file)
})

/** The safetensors header with one tensor under another name. */
const rename = (directory: string, from: string, to: string) => {
  const path = join(directory, "model.safetensors")
  const bytes = readFileSync(path)
  const at = bytes.indexOf(`"${from}"`)
  assert.isAbove(at, 0)
  bytes.write(`"${to.padEnd(from.length, "_")}"`, at)
  writeFileSync(path, bytes)
}

interface Line {
  readonly message: string
  readonly blame: string
}

describe("What goes wrong is one line, and the pool goes on", () => {
  it.effect("for weights, tensors, vocabularies, prompts and the Hub", () =>
    Effect.gen(function* () {
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
      const open = Effect.fnUntraced(function* (directory: string) {
        return yield* CausalModel.open(yield* Checkpoint.open(directory)).pipe(within(pool))
      })
      const healthy = yield* open(fixture("math"))
      const fails = Effect.fnUntraced(function* <A, R>(
        what: string,
        effect: Effect.Effect<A, Line, R>,
        line: RegExp,
      ) {
        const { blame, message } = yield* Effect.flip(effect)
        assert.match(`${blame}: ${message}`, line, what)
        assert.notInclude(message, "\n", what)
        const [after] = yield* healthy.generate(["Q: 87+45\nA:"], { maxTokens: 8, stop: ["\n"] })
        assert.strictEqual(after?.response, " 132\n", `after ${what}`)
      })

      const nan = yield* copy("math")
      yield* poison(nan, "model.layers.2.mlp.up_proj.weight")
      const sick = yield* open(nan)
      const notFinite = /^input: .*math: the next-token distribution is not finite: the weights hold NaN/
      const sampled = { maxTokens: 4, temperature: 1 }
      yield* fails("greedy text of NaN weights", sick.generate(["Q:"], { maxTokens: 4 }), notFinite)
      yield* fails("sampled text of NaN weights", sick.generate(["Q:"], sampled), notFinite)
      yield* fails("a stream of NaN weights", Stream.runDrain(sick.stream("Q:", sampled)), notFinite)
      yield* fails(
        "the loss of NaN weights",
        sick.losses([example([1, 50, 60], 1)]),
        /^input: .*the loss of example 0 is NaN/,
      )
      const fusion = yield* LogitsFusion.make({ large: healthy, small: sick, experts: [healthy] })
      yield* fails("fused logits of NaN weights", fusion.generate(["Q:"], { maxTokens: 4 }), notFinite)

      const incomplete = yield* copy("math")
      rename(incomplete, "model.layers.1.self_attn.k_proj.weight", "model.layers.1.self_attn.kk")
      yield* fails(
        "a missing tensor",
        open(incomplete),
        /^input: .*tensor "model\.layers\.1\.self_attn\.k_proj\.weight": is missing/,
      )

      const foreign = yield* copy("math")
      editJson(join(foreign, "tokenizer.json"), ({ model }) => {
        for (const token of Object.keys(model.vocab)) model.vocab[token] += 200
      })
      yield* fails(
        "a tokenizer with tokens beyond the embedding",
        Effect.flatMap(open(foreign), (model) => model.generate(["Q: 99+99\nA:"], { maxTokens: 4 })),
        /^input: .*prompt 0: expected tokens in 0…319, got \d+; is it another model's tokenizer\?$/,
      )

      const long = (model: CausalModel.CausalModel) => model.generate(["1".repeat(254)], { maxTokens: 4 })
      yield* fails(
        "a prompt longer than the context",
        long(healthy),
        /^input: .*prompt 0 has 255 tokens, with maxTokens 4 more than the model's 256 positions; shorten the prompt/,
      )

      const hub = yield* mockHub({ "me/math": fixture("math") })
      const settings = { endpoint: hub.endpoint, token: undefined, cache: yield* temporary, offline: false }
      hub.fault = { when: /safetensors/, what: { stopAfter: 5000 } }
      yield* fails(
        "a Hub that stops in the middle",
        Effect.flatMap(Hub.open({ repo: "me/math" }), CausalModel.open).pipe(
          within(pool),
          Effect.provideService(Hub.Settings, settings),
        ),
        /^system: Hub me\/math@\w+\/model\.safetensors: the Hub stopped after \d+ bytes of/,
      )
    }),
  )

  it.effect("for a worker that stops while several models write together", () =>
    Effect.gen(function* () {
      const entry = new URL("support/mortal-worker.ts", import.meta.url)
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 }, entry)
      const open = (name: string) =>
        Effect.flatMap(Checkpoint.open(fixture(name)), CausalModel.open).pipe(within(pool))
      const [base, math] = [yield* open("base"), yield* open("math")]
      const fusion = yield* LogitsFusion.make({ large: base, small: base, experts: [math] })
      // The worker dies at its third run, the first step of the expert.
      const error = yield* Effect.flip(fusion.generate(["Q: 87+45\nA:"], { maxTokens: 8 }))
      assert.match(error.message, /the worker thread stopped.*; run it again, the pool starts a new one$/)
      assert.strictEqual(error.blame, "system")
      const [after] = yield* math.generate(["Q: 87+45\nA:"], { maxTokens: 2 })
      assert.strictEqual(after?.response, " 1")
    }),
  )
})
