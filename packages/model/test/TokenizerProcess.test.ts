import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Tokenizer } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"
import { fixture } from "./support/models.ts"

/** A BPE over single letters that is split by a pattern. */
const splitBy = (pattern: string) => ({
  version: "1.0",
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
  post_processor: null,
  decoder: null,
  model: { type: "BPE", vocab: { a: 0, b: 1 }, merges: [] },
})

const openJson = Effect.fnUntraced(function* (definition: object) {
  const path = join(yield* temporary, "tokenizer.json")
  writeFileSync(path, JSON.stringify(definition))
  return yield* Tokenizer.open({ files: { "tokenizer.json": path } })
})

const good = Tokenizer.open({ files: { "tokenizer.json": `${fixture("base")}/tokenizer.json` } })

describe("the tokenizer process", () => {
  it.effect("dies of a pattern that backtracks without end: an error of that text, and others go on", () =>
    Effect.gen(function* () {
      const [kept, hostile] = [yield* good, yield* openJson(splitBy("(a+)+$"))]
      assert.deepStrictEqual(yield* hostile.encode("ab"), [0, 1])
      const before = yield* kept.encode("Q: 1")
      const error = yield* Effect.flip(hostile.encode(`${"a".repeat(40)}b`))
      assert.strictEqual(error.blame, "input")
      assert.match(
        error.message,
        /tokenizer\.json: unusable tokenizer: the tokenizer library died \(SIGABRT\): .*retry-limit-in-match/,
      )
      assert.deepStrictEqual(yield* kept.encode("Q: 1"), before)
      assert.deepStrictEqual(yield* hostile.encode("ab"), [0, 1])
    }),
  )

  it.effect("is ended when nobody waits for its answer any more, and starts afresh", () =>
    Effect.gen(function* () {
      const tokenizer = yield* good
      const long = "Q: 12345 + 67890 = ".repeat(200_000)
      const fiber = yield* Effect.forkChild(tokenizer.encode(long))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(
        yield* tokenizer.decode(yield* tokenizer.encode("Q: 7"), { skipSpecial: true }),
        "Q: 7",
      )
    }),
  )

  it.effect("refuses what is no file, and a definition that is none, in one line", () =>
    Effect.gen(function* () {
      const directory = yield* temporary
      const pipe = join(directory, "tokenizer.json")
      assert.strictEqual(spawnSync("mkfifo", [pipe]).status, 0)
      const refused = yield* Effect.flip(Tokenizer.open({ files: { "tokenizer.json": pipe } }))
      assert.strictEqual(refused.message, `${pipe}: unusable tokenizer: it is no regular file`)
      const nested = join(directory, "nested.json")
      writeFileSync(nested, `{"model":${"[".repeat(100_000)}`)
      const deep = yield* Effect.flip(Tokenizer.open({ files: { "tokenizer.json": nested } }))
      assert.match(deep.message, /^[^\n]*nested\.json: unusable tokenizer: [^\n]+$/)
    }),
  )

  it.live("keeps no program alive, and ends with the program that started it", () =>
    Effect.gen(function* () {
      const program = `
        import { Tokenizer } from "@hila/model"
        import * as Effect from "effect/Effect"
        import { readFileSync } from "node:fs"
        const files = { "tokenizer.json": ${JSON.stringify(`${fixture("base")}/tokenizer.json`)} }
        const tokenizer = await Effect.runPromise(Tokenizer.open({ files }))
        const children = "/proc/self/task/" + process.pid + "/children"
        const ids = await Effect.runPromise(tokenizer.encode("Q:"))
        console.log([ids.length, process.platform === "linux" ? readFileSync(children, "utf8").trim() : ""].join(" "))`
      const options = ["--conditions=@hila/source", "--input-type=module", "-e", program]
      const ran = spawnSync(process.execPath, options, { encoding: "utf8", cwd: import.meta.dirname })
      assert.strictEqual(ran.status, 0, ran.stderr)
      const [tokens, child = ""] = ran.stdout.trim().split(" ")
      assert.strictEqual(Number(tokens), 3)
      if (process.platform !== "linux") return
      assert.match(child, /^\d+$/)
      // Gone, or ended and not yet fetched by whoever inherited it.
      while (existsSync(`/proc/${child}`)) {
        if (/^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${child}/stat`, "utf8"))) return
        yield* Effect.sleep("10 millis")
      }
    }),
  )
})
