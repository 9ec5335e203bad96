import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createHash } from "node:crypto"
import { cpSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { workbench } from "./workbench.ts"

const micro = (member: string) => fileURLToPath(new URL(`../../../fixtures/micro/${member}`, import.meta.url))

const question = "Q: 87+45\nA:"

/** A command's answer, which must be a success. */
const succeed = <A extends { readonly code: number | null; readonly out: string; readonly err: string }>(
  result: A,
): string => {
  assert.strictEqual(result.err, "")
  assert.strictEqual(result.code, 0)
  return result.out
}

const commit = "f".repeat(40)

/** A Hub on this machine with the math model as me/math; the commands of the test ask it. */
const hub = Effect.gen(function* () {
  const files = new Map(
    readdirSync(micro("math")).map((name) => [name, readFileSync(join(micro("math"), name))] as const),
  )
  const oid = (bytes: Uint8Array) =>
    createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex")
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0] ?? ""
    const bytes = files.get(path.split(`/me/math/resolve/${commit}/`)[1] ?? "")
    if (path === "/api/models/me/math/revision/main") return response.end(JSON.stringify({ sha: commit }))
    if (path === `/api/models/me/math/tree/${commit}`) {
      const tree = [...files].map(([name, b]) => ({ type: "file", path: name, size: b.length, oid: oid(b) }))
      return response.end(JSON.stringify(tree))
    }
    if (bytes !== undefined) return response.end(bytes)
    response.writeHead(path.includes("/down/") ? 503 : 404)
    return response.end()
  })
  const port = yield* Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : 0))
      })
    }),
    () =>
      Effect.sync(() => {
        delete process.env["HF_ENDPOINT"]
        delete process.env["HF_HOME"]
        server.closeAllConnections()
        server.close()
      }),
  )
  const bench = yield* workbench
  process.env["HF_ENDPOINT"] = `http://127.0.0.1:${port}`
  process.env["HF_HOME"] = bench.path("hf")
  return bench
})

describe("hila generate", () => {
  it.live("takes a base with an adapter, which writes what their merge writes", () =>
    Effect.gen(function* () {
      const { hila: run, path, write } = yield* workbench
      succeed(yield* run("extract-lora", micro("base"), micro("math"), path("adapter"), "--rank", "64"))
      const reference = `${micro("base")}+${path("adapter")}`
      write(
        "recipe.yml",
        `merge_method: passthrough\nmodels: [{ model: ${JSON.stringify(reference)} }]\ndtype: float32\n`,
      )
      succeed(yield* run("merge", path("recipe.yml"), path("merged")))
      const asked = ["--prompt", question, "--max-tokens", "8", "--stop", "\n"]
      const merged = succeed(yield* run("generate", path("merged"), ...asked))
      assert.strictEqual(succeed(yield* run("generate", reference, ...asked)), merged)
      const missing = yield* run("generate", `${micro("base")}+${path("none")}`, ...asked)
      assert.strictEqual(missing.code, 2)
      assert.match(missing.err, /there is no directory .*none/)
    }).pipe(Effect.scoped),
  )

  it.live("writes what the model says", () =>
    Effect.gen(function* () {
      const { hila } = yield* workbench
      const out = succeed(yield* hila("generate", micro("math"), "--prompt", question, "--stop", "\n"))
      assert.strictEqual(out, " 132\n\n")
    }),
  )

  it.live("answers in the model's own chat template", () =>
    Effect.gen(function* () {
      const { hila, path } = yield* workbench
      cpSync(micro("math"), path("chat"), { recursive: true })
      const template = "{{ bos_token }}Q: {{ messages[-1].content }}{{ messages[:-1] | length }}\nA:"
      writeFileSync(path("chat/chat_template.jinja"), template)
      const ask = ["--chat", "--system", "Be brief.", "--prompt", "87+4", "--stop", "\n", "--json"]
      const { prompt, promptLength, response, tokens } = JSON.parse(
        succeed(yield* hila("generate", path("chat"), ...ask)),
      )
      assert.strictEqual(prompt, "<s>Q: 87+41\nA:")
      assert.strictEqual(response, " 128\n")
      assert.deepStrictEqual(
        tokens.slice(0, promptLength).filter((token: number) => token < 3),
        [1],
      )
    }),
  )

  it.live("draws samples by seed, and says all about them as JSON", () =>
    Effect.gen(function* () {
      const { hila } = yield* workbench
      const ask = (...args: ReadonlyArray<string>) =>
        Effect.map(
          hila(
            "generate",
            micro("base"),
            "--prompt",
            "Q: 8",
            "--temperature",
            "1.5",
            "--max-tokens",
            "6",
            "--samples",
            "2",
            ...args,
          ),
          succeed,
        )
      const first = yield* ask("--json", "--log-probabilities", "--top-p", "0.95", "--seed", "3")
      const lines = first
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line))
      assert.strictEqual(lines.length, 2)
      for (const { logProbabilities, prompt, promptLength, tokens } of lines) {
        assert.strictEqual(prompt, "Q: 8")
        assert.strictEqual(logProbabilities.length, tokens.length - promptLength)
      }
      const text = yield* ask("--top-p", "0.95", "--seed", "3")
      assert.strictEqual(text, `[1]\n${lines[0].response}\n\n[2]\n${lines[1].response}\n`)
    }),
  )

  it.live("lets several models write together, and says with which weights", () =>
    Effect.gen(function* () {
      const { hila } = yield* workbench
      const ask = ["--prompt", question, "--stop", "\n", "--small", micro("base"), "--expert", micro("math")]
      const fused = JSON.parse(succeed(yield* hila("generate", micro("base"), ...ask, "--json")))
      assert.strictEqual(fused.response, " 132\n")
      assert.deepStrictEqual(
        fused.alphas,
        fused.tokens.slice(fused.promptLength).map(() => [1]),
      )
      const half = yield* hila("generate", micro("base"), ...ask, "--alpha", "0.5", "--alpha", "1")
      assert.match(half.err, /alphas: expected 1 numbers, got \[0\.5,1\]/)
      assert.strictEqual(half.code, 2)
    }),
  )

  it.live("takes a model of the Hub, fetched once, and exports it", () =>
    Effect.gen(function* () {
      const { hila, path } = yield* hub
      const weights = path(`hf/hub/models--me--math/snapshots/${commit}/model.safetensors`)
      assert.match(succeed(yield* hila("inspect", "me/math")), /llama/)
      assert.isFalse(existsSync(weights), "a look needs no weights")
      for (const offline of ["0", "1"]) {
        process.env["HF_HUB_OFFLINE"] = offline
        const out = succeed(yield* hila("generate", "me/math", "--prompt", question, "--stop", "\n"))
        assert.strictEqual(out, " 132\n\n")
      }
      delete process.env["HF_HUB_OFFLINE"]
      assert.isTrue(existsSync(weights))
      const exported = succeed(yield* hila("export", "onnx", `me/math@${commit}`, path("onnx")))
      assert.match(
        exported,
        /model\.onnx\nweights: weights-0\.safetensors \(linked\)\ninputs: tokens, .* and the key-value cache\n/,
      )
      assert.strictEqual(statSync(path("onnx/weights-0.safetensors")).ino, statSync(weights).ino)
    }),
  )

  it.live("a mistake is one line and exit 2, a failure one line and exit 1", () =>
    Effect.gen(function* () {
      const { hila, path } = yield* hub
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, number, RegExp]> = [
        [["generate", "./gone", "--prompt", "x"], 2, /gone: no such file or directory/],
        [
          ["generate", "me/gone", "--prompt", "x"],
          2,
          /Hub me\/gone@main: there is no such repository.*\(404\)/,
        ],
        [
          ["generate", "down/it", "--prompt", "x"],
          1,
          /Hub down\/it@main: the Hub answers 503; run it again later/,
        ],
        [["generate", micro("math"), "--prompt", "x", "--chat"], 2, /no chat template: .*without --chat/],
        [
          ["generate", micro("math"), "--prompt", "x", "--top-p", "2"],
          2,
          /topP: expected a number in \(0, 1\], got 2/,
        ],
        [
          ["generate", micro("math"), "--prompt", "1".repeat(300)],
          2,
          /prompt 0: expected at most 256 tokens.*got 301/,
        ],
        [
          ["export", "onnx", micro("math"), path(".")],
          2,
          /already exists: expected a new or empty directory/,
        ],
      ]
      yield* Effect.forEach(
        cases,
        ([args, code, line]) =>
          Effect.map(hila(...args), (result) => {
            assert.match(result.err, line)
            assert.match(result.err, /^hila: [^\n]+\n$/)
            assert.strictEqual(result.code, code, args.join(" "))
            assert.strictEqual(result.out, "")
          }),
        { concurrency: 3 },
      )
    }),
  )
})
