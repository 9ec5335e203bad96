import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs"
import { hostname, tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { BlockModel, CausalModel, Checkpoint, InterpolatedGates, InterpolatedModel } from "../src/index.ts"
import { within } from "./support/pool.ts"
import * as CausalGraph from "../src/graphs/CausalGraph.ts"
import { encode } from "../src/onnx/Encode.ts"
import * as WorkerPool from "../src/runtime/WorkerPool.ts"
import { temporary } from "./support/fixtures.ts"
import { distance, example, fixture } from "./support/models.ts"

const rows = [example([1, 51, 28, 223, 26, 21, 15], 3), example([1, 42, 71, 78], 1)]

/** A directory on another device than the temporary one, where the machine has one. */
const otherDevice = ["/dev/shm"].find((path) => {
  try {
    return statSync(path).dev !== statSync(tmpdir()).dev
  } catch {
    return false
  }
})

describe("WorkerPool", () => {
  it.effect("fails what a dead worker was doing with a clear error, and goes on in a new one", () =>
    Effect.gen(function* () {
      const entry = new URL("support/mortal-worker.ts", import.meta.url)
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 }, entry)
      const model = yield* CausalModel.open(yield* Checkpoint.open(fixture("base"))).pipe(within(pool))
      const first = yield* model.losses(rows)
      const second = yield* model.losses(rows)
      const error = yield* Effect.flip(model.losses(rows))
      assert.strictEqual(error._tag, "ModelError")
      assert.strictEqual(error.blame, "system")
      assert.match(
        error.message,
        /micro\/base: the worker thread stopped with exit code 7; run it again, the pool starts a new one$/,
      )
      const again = yield* model.losses(rows)
      assert.deepStrictEqual([second, again], [first, first])
      const generating = yield* Effect.flip(model.generate(["Q: 1+1\nA:"], { maxTokens: 4 }))
      assert.include(generating.message, "exit code 7")
    }),
  )

  it.effect("ends its threads with the scope while they compute, and fails what had not begun", () =>
    Effect.gen(function* () {
      const checkpoint = yield* Checkpoint.open(fixture("base"))
      const many = Array.from({ length: 400 }, () =>
        example(
          Array.from({ length: 200 }, (_, i) => i),
          10,
        ),
      )
      const { computing, pool } = yield* Effect.scoped(
        Effect.gen(function* () {
          const inner = yield* WorkerPool.make({ workers: 1, threads: 1 })
          const model = yield* CausalModel.open(checkpoint).pipe(within(inner))
          const fiber = yield* Effect.forkDetach(Effect.flip(model.losses(many)), { startImmediately: true })
          return { computing: fiber, pool: inner }
        }),
      )
      assert.deepStrictEqual(
        pool.threads.map((thread) => thread.generation()),
        [1],
      )
      computing.interruptUnsafe()
    }),
  )

  it.effect("reads linked weights and weights in memory alike", () =>
    Effect.gen(function* () {
      const checkpoint = yield* Checkpoint.open(fixture("math"))
      const shape = yield* Checkpoint.validate(checkpoint)
      const encoded = encode(Result.getOrThrow(CausalGraph.causal(shape, checkpoint.tensors)))
      const results: Array<Float64Array> = []
      for (const weightAccess of ["link", "memory"] as const) {
        const pool = yield* WorkerPool.make({ workers: 1, threads: 1, weightAccess })
        const program = yield* pool.open("math", encoded, 0)
        const access = yield* program.warm
        if (weightAccess === "memory") assert.strictEqual(access, "memory")
        const model = yield* CausalModel.open(checkpoint).pipe(within(pool))
        results.push(yield* model.losses(rows))
      }
      assert.strictEqual(distance(results[0] ?? [], results[1] ?? []), 0)
    }),
  )

  it.effect("falls back to memory where the weights lie on another device", () =>
    Effect.gen(function* () {
      const directory = mkdtempSync(join(otherDevice ?? tmpdir(), "hila-pool-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(directory, { recursive: true })))
      cpSync(fixture("math"), directory, { recursive: true })
      const checkpoint = yield* Checkpoint.open(directory)
      const shape = yield* Checkpoint.validate(checkpoint)
      const encoded = encode(Result.getOrThrow(CausalGraph.causal(shape, checkpoint.tensors)))
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
      const program = yield* pool.open("math", encoded, 0)
      assert.strictEqual(yield* program.warm, otherDevice === undefined ? "link" : "memory")
      const [near, far] = [fixture("math"), directory]
      const losses = yield* Effect.forEach([near, far], (path) =>
        Effect.gen(function* () {
          const model = yield* CausalModel.open(yield* Checkpoint.open(path)).pipe(within(pool))
          return yield* model.losses(rows)
        }),
      )
      assert.strictEqual(distance(losses[0] ?? [], losses[1] ?? []), 0)
    }),
  )

  it.effect(
    "removes its private directory as soon as the session exists, and those of processes that were killed",
    () =>
      Effect.gen(function* () {
        const { pid } = spawnSync(process.execPath, ["--version"])
        const left = mkdtempSync(join(tmpdir(), `hila-graph-${hostname()}-${pid}-`))
        const mine = () =>
          readdirSync(tmpdir()).filter((name) => name.startsWith(`hila-graph-${hostname()}-${process.pid}-`))
        const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
        yield* CausalModel.open(yield* Checkpoint.open(fixture("lang"))).pipe(within(pool))
        assert.deepStrictEqual(mine(), [])
        assert.isFalse(existsSync(left))
      }),
  )

  it.effect("runs several requests at once on several workers, and a large program in one", () =>
    Effect.gen(function* () {
      const base = yield* Checkpoint.open(fixture("base"))
      const expert = yield* Checkpoint.open(fixture("code"))
      const pool = yield* WorkerPool.make({ workers: 2, threads: 2 })
      const delta = yield* InterpolatedModel.open(base, expert).pipe(within(pool))
      const settings = Array.from({ length: 8 }, (_, i) => InterpolatedGates.filled(delta.shape, i / 7))
      const run = (concurrency: number) =>
        Effect.forEach(settings, (gates) => delta.losses(rows, gates), { concurrency })
      const [one, all] = [yield* run(1), yield* run(8)]
      one.forEach((losses, i) => assert.strictEqual(distance(losses, all[i] ?? []), 0))

      const shape = yield* Checkpoint.validate(base)
      const encoded = encode(Result.getOrThrow(CausalGraph.causal(shape, base.tensors)))
      assert.strictEqual((yield* pool.open("small", encoded, 2 ** 20)).width, 2)
      assert.strictEqual((yield* pool.open("large", encoded, 2 ** 30)).width, 1)
    }),
  )

  it.effect("shares sessions between those who open the same model, until the last one leaves", () =>
    Effect.gen(function* () {
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
      const checkpoint = yield* Checkpoint.open(fixture("base"))
      const model = yield* CausalModel.open(checkpoint).pipe(within(pool))
      const [expected] = yield* model.losses(rows)
      yield* Effect.scoped(
        Effect.gen(function* () {
          const again = yield* CausalModel.open(checkpoint).pipe(within(pool))
          assert.strictEqual((yield* again.losses(rows))[0], expected)
        }),
      )
      assert.strictEqual((yield* model.losses(rows))[0], expected)
      const other = yield* CausalModel.open(yield* Checkpoint.open(fixture("math"))).pipe(within(pool))
      assert.notStrictEqual((yield* other.losses(rows))[0], expected)
    }),
  )

  it.effect("closes a session whose opening was interrupted", () =>
    Effect.gen(function* () {
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
      const checkpoint = yield* Checkpoint.open(fixture("base"))
      const shape = yield* Checkpoint.validate(checkpoint)
      const encoded = encode(Result.getOrThrow(CausalGraph.causal(shape, checkpoint.tensors)))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const program = yield* pool.open("base", encoded, 0)
          const opening = yield* Effect.forkChild(program.warm, { startImmediately: true })
          yield* Fiber.interrupt(opening)
        }),
      )
      // The pool's first session; asking the thread for it shows whether it is still there.
      const run = pool.threads[0]!.request({ _tag: "Run", session: 0, feeds: {}, fetches: ["logits"] })
      assert.strictEqual((yield* Effect.flip(run)).problem, "session 0 is not open")
    }),
  )

  it.effect("tries again what could not start: weights that were away", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      cpSync(fixture("math"), directory, { recursive: true })
      const weights = join(directory, "model.safetensors")
      const expert = yield* Checkpoint.open(directory)
      const pool = yield* WorkerPool.make({ workers: 1, threads: 1 })
      const delta = yield* InterpolatedModel.open(yield* Checkpoint.open(fixture("base")), expert).pipe(
        within(pool),
      )
      const gates = InterpolatedGates.filled(delta.shape, 1)
      renameSync(weights, `${weights}.away`)
      assert.match((yield* Effect.flip(delta.losses(rows, gates))).message, /ENOENT/)
      renameSync(`${weights}.away`, weights)
      assert.isTrue((yield* delta.losses(rows, gates)).every(Number.isFinite))
    }),
  )

  it.effect("lets ONNX Runtime report to nobody, and leave nothing in the home directory", () =>
    Effect.gen(function* () {
      const home = mkdtempSync(join(tmpdir(), "hila-home-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(home, { recursive: true })))
      const script = new URL("support/open-model.ts", import.meta.url)
      const { CI: _, ORT_DISABLE_TELEMETRY: __, ...env } = process.env
      const { status, stderr } = spawnSync(
        process.execPath,
        ["--conditions=@hila/source", fileURLToPath(script), fixture("base")],
        { env: { ...env, HOME: home, XDG_CACHE_HOME: join(home, ".cache") }, encoding: "utf8" },
      )
      assert.strictEqual(status, 0, stderr)
      assert.deepStrictEqual(readdirSync(home), [])
    }),
  )

  it.effect("refuses an execution provider that is not built and tested", () =>
    Effect.gen(function* () {
      const pool = yield* WorkerPool.make({ executionProvider: "cuda" })
      const checkpoint = yield* Checkpoint.open(fixture("base"))
      const error = yield* Effect.flip(CausalModel.open(checkpoint).pipe(within(pool)))
      assert.strictEqual(error.blame, "input")
      assert.match(
        error.message,
        /execution provider "cuda": only "cpu" is built and tested; leave the option out$/,
      )
      const blocks = yield* Effect.flip(BlockModel.open(checkpoint, { memory: 2 ** 30 }).pipe(within(pool)))
      assert.strictEqual(blocks.message, error.message)
    }),
  )
})
