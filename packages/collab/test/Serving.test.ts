import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { once } from "node:events"
import { connect } from "node:net"
import * as Collaboration from "../src/Collaboration.ts"
import { type Comparison, Compute, Latency, Server } from "../src/index.ts"
import { maxBody, maxTexts } from "../src/serving/Api.ts"
import * as Family from "./support/family.ts"
import { asked, Packed } from "./support/packed.ts"

const post = (url: string, body: string, headers: Record<string, string> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(`${url}/answer`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  })

/** All of a request but its last byte: it is held until `finish` sends that. */
const begun = Effect.fnUntraced(function* (url: string, body: string) {
  const socket = connect(Number(new URL(url).port), "127.0.0.1")
  const heard: Array<string> = []
  socket.on("data", (data) => void heard.push(String(data)))
  const head = [
    "POST /answer HTTP/1.1",
    "host: x",
    "connection: close",
    "content-type: application/json",
    `content-length: ${body.length}`,
    // The server has the request when it says that the body may come.
    "expect: 100-continue",
  ]
  const closed = once(socket, "close")
  yield* Effect.promise(() => {
    const told = once(socket, "data")
    socket.write(`${head.join("\r\n")}\r\n\r\n${body.slice(0, -1)}`)
    return told
  })
  const finish = Effect.promise(() => {
    socket.write(body.slice(-1))
    return closed
  })
  return { heard, finish, closed: Effect.promise(() => closed) }
})

layer(Packed.layer.pipe(Layer.provideMerge(Compute.layerWith({ workers: 2, threads: 2 }))))(
  "serving",
  (it) => {
    it.effect(
      "only the experts that the gate chooses run, and what they say is what the dense head is told",
      () =>
        Effect.gen(function* () {
          const { contents } = yield* Packed
          const dense = yield* Collaboration.open(contents)
          const one = yield* Collaboration.open({ ...contents, topK: 1 })
          const both = yield* Collaboration.open({ ...contents, topK: 2 })
          const [all, few] = [yield* dense.answer(asked), yield* one.answer(asked)]
          assert.deepStrictEqual(yield* both.answer(asked), all)
          for (const [i, answer] of few.entries()) {
            const [best] = Object.entries(all[i]!.gates).toSorted(([, a], [, b]) => b - a)
            assert.deepStrictEqual(answer.ran, [best![0]])
            assert.closeTo(answer.gates[best![0]]!, 1, 1e-6)
          }
          assert.strictEqual(new Set(few.flatMap(({ ran }) => ran)).size, 2)
        }).pipe(Effect.scoped),
    )

    it.effect("times whole answers, one text and 32 at a time", () =>
      Effect.gen(function* () {
        const { contents } = yield* Packed
        const { answer } = yield* Collaboration.open(contents)
        const row = yield* Latency.measure("all", answer, asked, { runs: 3, warm: 1 })
        assert.isAtMost(row.times["batch 1: median, ms"], row.times["batch 1: p95, ms"])
        assert.isAbove(row.times["batch 32: median, ms"], 0)
        const accuracy = { value: 0.9, low: 0.8, high: 1 }
        const way = { name: "all", kind: "strategy", accuracy, stored: 1, flops: 1, validationMacroF1: 0.9 }
        const latency = Latency.of([row], { rows: [way as Comparison.Row] }, 3)
        // What was timed is content, how long it took is not.
        assert.deepStrictEqual(latency, {
          ways: [{ name: "all", worth: { name: "all", accuracy: 0.9, validationMacroF1: 0.9 } }],
          runs: 3,
        })
        assert.match(Latency.artifact.show(latency, Latency.measured([row])), /all +\d+\.\d+/)
        assert.match(Latency.artifact.show(latency), /all +–/)
      }).pipe(Effect.scoped),
    )

    it.effect("a cascade stops at the first expert who is sure, and asks all where nobody is", () =>
      Effect.gen(function* () {
        const { contents } = yield* Packed
        const cascade = { order: [1, 0], temperatures: [1, 1], budget: 1, share: 1, accuracy: 0 }
        const sure = yield* Collaboration.open({
          ...contents,
          cascade: { ...cascade, thresholds: [0, 1.01] },
        })
        for (const { gates, ran } of yield* sure.answer(asked)) {
          assert.deepStrictEqual(ran, ["end"])
          assert.deepStrictEqual(gates, { start: 0, end: 1 })
        }
        const unsure = yield* Collaboration.open({
          ...contents,
          cascade: { ...cascade, thresholds: [1.01, 1.01] },
        })
        const dense = yield* Collaboration.open(contents)
        const [late, all] = [yield* unsure.answer(asked), yield* dense.answer(asked)]
        for (const [i, answer] of late.entries()) {
          assert.strictEqual(answer.class, all[i]!.class)
          assert.closeTo(answer.probability, all[i]!.probability, 1e-5)
        }
      }).pipe(Effect.scoped),
    )

    it.effect("answers 200 requests at once, each with its own answer, in bounded memory", () =>
      Effect.gen(function* () {
        const { contents, directory } = yield* Packed
        const expected = yield* (yield* Collaboration.open(contents)).answer(asked)
        const url = yield* Server.serve(`${directory}/bundle`, { port: 0 })
        yield* post(url, JSON.stringify({ texts: asked }))
        const before = process.memoryUsage().rss
        const times: Array<number> = []
        const answers = yield* Effect.forEach(
          Array.from({ length: 200 }, (_, i) => i),
          Effect.fnUntraced(function* (i) {
            const start = performance.now()
            const reply = yield* post(url, JSON.stringify({ texts: [asked[i % asked.length]] }))
            times.push(performance.now() - start)
            return reply
          }),
          { concurrency: 200 },
        )
        for (const [i, { body, status }] of answers.entries()) {
          assert.strictEqual(status, 200)
          const [answer] = body["answers"] as ReadonlyArray<Collaboration.Answer>
          const right = expected[i % asked.length]!
          assert.strictEqual(answer!.class, right.class)
          assert.closeTo(answer!.probability, right.probability, 1e-5)
          assert.deepStrictEqual(answer!.ran, ["start", "end"])
        }
        const grown = (process.memoryUsage().rss - before) / 2 ** 20
        assert.isBelow(grown, 200)
        const sorted = times.toSorted((a, b) => a - b)
        yield* Effect.sync(() =>
          process.stdout.write(
            `200 requests at once: median ${sorted[100]!.toFixed(0)} ms, p95 ${sorted[190]!.toFixed(0)} ms, ${grown.toFixed(0)} MiB more\n`,
          ),
        )
      }).pipe(Effect.scoped),
    )

    it.effect("refuses what it cannot read with a reason, and says what it is", () =>
      Effect.gen(function* () {
        const { directory } = yield* Packed
        const url = yield* Server.serve(`${directory}/bundle`, { port: 0 })
        const broken = yield* post(url, "{")
        assert.strictEqual(broken.status, 400)
        const wrong = yield* post(url, JSON.stringify({ texts: "one" }))
        assert.strictEqual(wrong.status, 400)
        assert.include(JSON.stringify(wrong.body), "texts")
        const many = yield* post(
          url,
          JSON.stringify({ texts: Array.from({ length: maxTexts + 1 }, () => "x") }),
        )
        assert.strictEqual(many.status, 400)
        const long = yield* post(url, JSON.stringify({ texts: ["x".repeat(maxBody)] }))
        assert.strictEqual(long.status, 413)
        assert.include(String(long.body["detail"]), `${maxBody} bytes`)
        const get = (path: string) =>
          Effect.promise(async () => {
            const response = await fetch(`${url}${path}`)
            return (await response.json()) as Record<string, unknown>
          })
        assert.deepStrictEqual(yield* get("/"), {
          classes: [...Family.texts.classes],
          experts: ["start", "end"],
          mode: "all",
        })
        assert.include(JSON.stringify((yield* get("/openapi.json"))["paths"]), "/answer")
      }).pipe(Effect.scoped),
    )

    it.effect("gives a reason for what is not there, asked otherwise, of no length or no JSON", () =>
      Effect.gen(function* () {
        const { directory } = yield* Packed
        const url = yield* Server.serve(`${directory}/bundle`, { port: 0 })
        const asked = (path: string, init: RequestInit) =>
          Effect.promise(async () => {
            const response = await fetch(`${url}${path}`, init)
            return {
              status: response.status,
              allow: response.headers.get("allow"),
              text: await response.text(),
            }
          })
        const nowhere = yield* asked("/nothing?a=1", {})
        assert.strictEqual(nowhere.status, 404)
        assert.include(nowhere.text, "nothing is at /nothing; there are GET /, POST /answer")
        const got = yield* asked("/answer", {})
        assert.deepStrictEqual([got.status, got.allow], [405, "POST"])
        assert.include(got.text, "/answer is asked with POST, not GET")
        assert.strictEqual((yield* asked("/", { method: "DELETE" })).status, 405)
        const stream = ReadableStream.from([new TextEncoder().encode('{"texts": ["x"]}')])
        const endless: RequestInit & { readonly duplex: "half" } = {
          method: "POST",
          body: stream,
          duplex: "half",
          headers: { "content-type": "application/json" },
        }
        const unknown = yield* asked("/answer", endless)
        assert.strictEqual(unknown.status, 411)
        assert.include(unknown.text, "content-length")
        const plain = yield* asked("/answer", { method: "POST", body: "hello" })
        assert.strictEqual(plain.status, 415)
        assert.include(plain.text, "text/plain")
      }).pipe(Effect.scoped),
    )

    it.effect("refuses more requests than it may hold, and takes them again when others are answered", () =>
      Effect.gen(function* () {
        const { directory } = yield* Packed
        const url = yield* Server.serve(`${directory}/bundle`, { port: 0, most: 1 })
        const body = JSON.stringify({ texts: ["x"] })
        const together = Effect.forEach(Array.from({ length: 16 }), () => post(url, body), {
          concurrency: "unbounded",
        })
        let all = yield* together
        while (all.every(({ status }) => status === 200)) all = yield* together
        const refused = all.find(({ status }) => status !== 200)
        assert.strictEqual(refused?.status, 503)
        assert.include(String(refused?.body["detail"]), "1 requests are waiting")
        assert.strictEqual((yield* post(url, body)).status, 200)
      }).pipe(Effect.scoped),
    )

    it.effect("says that a port is taken", () =>
      Effect.gen(function* () {
        const { directory } = yield* Packed
        const url = yield* Server.serve(`${directory}/bundle`, { port: 0 })
        const port = Number(new URL(url).port)
        const error = yield* Effect.flip(Server.serve(`${directory}/bundle`, { port }))
        assert.match(error.message, /^127\.0\.0\.1:\d+: the port is in use; give another one/)
        assert.strictEqual(error.blame, "input")
      }).pipe(Effect.scoped),
    )

    it.effect("takes no more requests when it stops, and finishes those it has", () =>
      Effect.gen(function* () {
        const { directory } = yield* Packed
        const scope = yield* Scope.make()
        const url = yield* Effect.provideService(
          Server.serve(`${directory}/bundle`, { port: 0, grace: 3600, patience: 3600 }),
          Scope.Scope,
          scope,
        )
        const body = JSON.stringify({ texts: ["x"] })
        const { finish, heard } = yield* begun(url, body)
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        const open = () =>
          fetch(url).then(
            () => true,
            () => false,
          )
        while (yield* Effect.promise(open)) yield* Effect.yieldNow
        yield* finish
        assert.match(heard.join(""), /HTTP\/1\.1 200 /)
        yield* Fiber.join(closing)
      }).pipe(Effect.scoped),
    )

    it.effect("stops with its scope and frees the port", () =>
      Effect.gen(function* () {
        const { directory } = yield* Packed
        const scope = yield* Scope.make()
        const url = yield* Effect.provideService(
          Server.serve(`${directory}/bundle`, { port: 0 }),
          Scope.Scope,
          scope,
        )
        assert.strictEqual((yield* post(url, JSON.stringify({ texts: ["x"] }))).status, 200)
        yield* Scope.close(scope, Exit.void)
        const after = yield* Effect.exit(Effect.tryPromise(() => fetch(url)))
        assert.isTrue(Exit.isFailure(after))
      }).pipe(Effect.scoped),
    )
  },
)

layer(Packed.layer.pipe(Layer.provideMerge(Compute.layerWith({ workers: 1, threads: 1 }))), {
  excludeTestServices: true,
})("serving by the clock", (it) => {
  it.effect("waits for a body as long as it has patience", () =>
    Effect.gen(function* () {
      const { directory } = yield* Packed
      const url = yield* Server.serve(`${directory}/bundle`, { port: 0, patience: 0.05 })
      const { closed, heard } = yield* begun(url, JSON.stringify({ texts: ["x"] }))
      yield* closed
      assert.match(heard.join(""), /HTTP\/1\.1 408 /)
    }).pipe(Effect.scoped),
  )

  // The case security/collabserve: clients that never send their bodies.
  it.effect("is not blocked by clients that withhold their requests: they lose their places to others", () =>
    Effect.gen(function* () {
      const { directory } = yield* Packed
      const url = yield* Server.serve(`${directory}/bundle`, { port: 0, most: 4, patience: 3600, grace: 1 })
      const body = JSON.stringify({ texts: ["x"] })
      const slow = yield* Effect.forEach([1, 2, 3, 4], () => begun(url, body))
      for (let i = 0; i < 4; i++) assert.strictEqual((yield* post(url, body)).status, 200)
      assert.strictEqual((yield* Effect.promise(() => fetch(url))).status, 200)
      // The first has lost its place, and is told; the last is answered when its body comes. The
      // others are not waited for when the server stops.
      yield* slow[0]!.closed
      assert.match(slow[0]!.heard.join(""), /HTTP\/1\.1 408 [\s\S]*did not arrive in time/)
      yield* slow[3]!.finish
      assert.match(slow[3]!.heard.join(""), /HTTP\/1\.1 200 /)
    }).pipe(Effect.scoped),
  )
})
