import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { hostname, tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { CausalModel, Checkpoint, Hub, Runtime } from "../src/index.ts"
import { fromEnvironment } from "../src/hub/Settings.ts"
import { messageOf, pinned, repo, setting } from "./support/hub.ts"
import { commit, mockHub } from "./support/mock-hub.ts"
import { fixture, openModel } from "./support/models.ts"

/** Waits for what another fiber does. */
const until = Effect.fnUntraced(function* (holds: () => boolean) {
  while (!holds()) yield* Effect.sleep(1)
})

describe("Hub.open", () => {
  it.effect("fetches what a checkpoint needs into the shared cache layout, and nothing else, once", () =>
    Effect.gen(function* () {
      const { hub, root, use } = yield* setting
      const opened = yield* use()(Hub.open({ repo }))
      const own = yield* Checkpoint.open(fixture("math"))
      assert.deepStrictEqual([...opened.tensors.keys()], [...own.tensors.keys()])
      const name = "model.norm.weight"
      assert.deepStrictEqual(
        yield* Checkpoint.readFloat32(opened, name),
        yield* Checkpoint.readFloat32(own, name),
      )
      assert.strictEqual(readFileSync(join(root, "refs/main"), "utf8"), commit)
      const expected = [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
      ]
      const snapshot = join(root, "snapshots", commit)
      assert.deepStrictEqual(readdirSync(snapshot), expected)
      assert.strictEqual(
        readlinkSync(join(snapshot, "model.safetensors")),
        `../../blobs/${hub.sha256(repo, "model.safetensors")}`,
      )
      assert.strictEqual(hub.log.filter((line) => line.includes("/resolve/")).length, expected.length)
      assert.isFalse(hub.log.some((line) => /README|pytorch/.test(line)))

      const asked = hub.log.length
      yield* use()(Hub.open(pinned))
      yield* use({ offline: true })(Hub.open({ repo }))
      assert.strictEqual(hub.log.length, asked, "everything cached, nothing asked")
    }),
  )

  it.effect("uses blobs that another tool fetched", () =>
    Effect.gen(function* () {
      const { blob, hub, use } = yield* setting
      cpSync(join(fixture("math"), "model.safetensors"), blob("model.safetensors"))
      yield* use()(Hub.open({ repo, revision: "v1" }))
      assert.isFalse(hub.log.some((line) => line.includes("model.safetensors")))
    }),
  )

  it.effect("goes on where a download stopped", () =>
    Effect.gen(function* () {
      const { arrived, blob, hub, use } = yield* setting
      hub.fault = { when: /model\.safetensors/, what: { stopAfter: 300_000, once: arrived } }
      const stopped = yield* messageOf(use()(Hub.open(pinned)))
      assert.match(
        stopped,
        /^system: Hub me\/tiny@0123456789abcdef\w*\/model\.safetensors: the Hub stopped after \d+ bytes of 1\.\d MB; they are kept, run it again to go on$/,
      )
      assert.isFalse(existsSync(blob("model.safetensors")))
      const { size } = lstatSync(`${blob("model.safetensors")}.incomplete`)
      assert.isTrue(size > 0 && size <= 300_000)
      hub.fault = undefined
      yield* use()(Hub.open(pinned))
      assert.isTrue(hub.log.at(-1)?.endsWith(`model.safetensors bytes=${size}-`))
      assert.deepStrictEqual(
        readFileSync(blob("model.safetensors")),
        readFileSync(join(fixture("math"), "model.safetensors")),
      )
    }),
  )

  it.effect("starts anew where the Hub knows no ranges", () =>
    Effect.gen(function* () {
      const { arrived, blob, hub, use } = yield* setting
      hub.fault = { when: /model\.safetensors/, what: { stopAfter: 1000, once: arrived } }
      yield* messageOf(use()(Hub.open(pinned)))
      hub.fault = { when: /model\.safetensors/, what: { ignoreRange: true } }
      yield* use()(Hub.open(pinned))
      assert.strictEqual(
        lstatSync(blob("model.safetensors")).size,
        lstatSync(join(fixture("math"), "model.safetensors")).size,
      )
    }),
  )

  it.effect("two at a time in one process fetch each file once", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      yield* use()(Effect.all([Hub.open(pinned), Hub.open(pinned)], { concurrency: 2 }))
      assert.strictEqual(hub.log.filter((line) => /resolve.*model\.safetensors/.test(line)).length, 1)
    }),
  )

  it.live("waits for another process that fetches the same file, and takes over from one that is gone", () =>
    Effect.gen(function* () {
      const { blob, hub, use } = yield* setting
      const lock = `${blob("model.safetensors")}.lock`
      mkdirSync(dirname(lock), { recursive: true })
      writeFileSync(lock, `${process.pid}@${hostname()}`)
      const asked = () => hub.log.some((line) => line.includes("model.safetensors"))
      const fetching = yield* Effect.forkChild(use()(Hub.open(pinned)))
      // All but the last file are there, and that one is asked for with them unless it is waited for.
      yield* until(() => readdirSync(dirname(lock)).length === 5)
      assert.isFalse(asked())
      // The other one dies; its process number is not in use.
      writeFileSync(lock, `4194999@${hostname()}`)
      yield* Fiber.join(fetching)
      assert.isTrue(asked())
      assert.isFalse(existsSync(lock))
    }),
  )

  it.live("leaves nothing locked when it is interrupted, and goes on afterwards", () =>
    Effect.gen(function* () {
      const { arrived, blob, hub, use } = yield* setting
      hub.fault = { when: /model\.safetensors/, what: { stopAfter: 300_000, once: () => false } }
      const fetching = yield* Effect.forkChild(use()(Hub.open(pinned)))
      const lock = `${blob("model.safetensors")}.lock`
      yield* until(arrived)
      assert.isTrue(existsSync(lock))
      yield* Fiber.interrupt(fetching)
      assert.isFalse(existsSync(lock))
      hub.fault = undefined
      assert.isAbove((yield* use()(Hub.open(pinned))).tensors.size, 0)
    }),
  )

  it.effect("sends the token, if there is one, and takes only what the Hub promised", () =>
    Effect.gen(function* () {
      const { blob, hub, use } = yield* setting
      hub.fault = { when: /model\.safetensors/, what: { corrupt: true } }
      const wrong = yield* messageOf(use({ token: "hf_secret" })(Hub.open(pinned)))
      assert.isTrue(hub.headers.every(({ authorization }) => authorization === "Bearer hf_secret"))
      assert.match(
        wrong,
        /^system: Hub me\/tiny@\w+\/model\.safetensors: what came is not what the Hub names: expected sha256 \w{64}, got \w{64}; run it again$/,
      )
      assert.notInclude(wrong, "hf_secret")
      assert.isFalse(
        existsSync(blob("model.safetensors")) || existsSync(`${blob("model.safetensors")}.incomplete`),
      )
    }),
  )
})

describe("Hub.inspect", () => {
  it.effect("reads names, types and shapes by ranges, no weights", () =>
    Effect.gen(function* () {
      const { blob, hub, use } = yield* setting
      const seen = yield* use()(Hub.inspect({ repo }))
      const own = yield* Checkpoint.open(fixture("math"))
      assert.deepStrictEqual(seen.config, own.config)
      for (const [name, { dtype, offset, shape }] of own.tensors) {
        const { file: _, ...rest } = seen.tensors.get(name) ?? {}
        assert.deepInclude(rest, { dtype, offset, shape })
      }
      assert.isFalse(existsSync(blob("model.safetensors")))
      assert.deepStrictEqual(
        hub.log.filter((line) => line.includes("model.safetensors")).map((line) => line.split(" ").at(-1)),
        ["bytes=0-65535"],
      )
    }),
  )
})

describe("Hub.model", () => {
  it.effect("takes a directory or a repository, and refuses what cannot run before its weights come", () =>
    Effect.gen(function* () {
      const { files, use } = yield* setting
      assert.deepStrictEqual(
        (yield* use()(Hub.model(files))).files["config.json"],
        join(files, "config.json"),
      )
      const config = JSON.parse(readFileSync(join(files, "config.json"), "utf8"))
      writeFileSync(join(files, "config.json"), JSON.stringify({ ...config, model_type: "strange" }))
      const odd = yield* mockHub({ [repo]: files })
      const refused = yield* messageOf(use({ endpoint: odd.endpoint })(Hub.model(`${repo}@${commit}`)))
      assert.match(refused, /^input: config\.json \(model_type "strange"\)/)
      assert.isFalse(odd.log.some((line) => /model\.safetensors(?! bytes=0-65535)/.test(line)))
      assert.match(yield* messageOf(use()(Hub.model("./gone"))), /gone: no such file or directory/)
    }),
  )
})

layer(Runtime.layerWith({ workers: 1, threads: 1 }))("A model of the Hub", (it) => {
  it.effect("runs from the cache, by reference or by the path of its snapshot", () =>
    Effect.gen(function* () {
      const { root, use } = yield* setting
      const model = yield* CausalModel.open(yield* use()(Hub.model(repo)))
      const [written] = yield* model.generate(["Q: 87+45\nA:"], { maxTokens: 16, stop: ["\n"] })
      assert.strictEqual(written?.response, " 132\n")
      const again = yield* openModel(join(root, "snapshots", commit))
      const [same] = yield* again.generate(["Q: 87+45\nA:"], { maxTokens: 16, stop: ["\n"] })
      assert.deepStrictEqual(same, written)
    }),
  )
})

describe("Hub settings", () => {
  it("follow the environment variables of the Hub's other tools", () => {
    const cacheOf = (env: Record<string, string>) => fromEnvironment(env).cache
    assert.strictEqual(cacheOf({ HF_HUB_CACHE: "/a", HUGGINGFACE_HUB_CACHE: "/b", HF_HOME: "/c" }), "/a")
    assert.strictEqual(cacheOf({ HUGGINGFACE_HUB_CACHE: "/b", HF_HOME: "/c" }), "/b")
    assert.strictEqual(cacheOf({ HF_HOME: "/c", XDG_CACHE_HOME: "/d" }), "/c/hub")
    assert.strictEqual(cacheOf({ XDG_CACHE_HOME: "/d" }), "/d/huggingface/hub")
    assert.match(cacheOf({ HF_HOME: "" }), /\.cache\/huggingface\/hub$/)
    const { endpoint, offline, token } = fromEnvironment({
      HF_ENDPOINT: "http://x/",
      HF_TOKEN: "hf_t\n",
      HF_HUB_OFFLINE: "1",
    })
    assert.deepStrictEqual(
      { endpoint, offline, token },
      { endpoint: "http://x", offline: true, token: "hf_t" },
    )
    assert.isFalse(fromEnvironment({ HF_HUB_OFFLINE: "0" }).offline)
  })

  it("take the token of a login where the environment has none, unless that is switched off", () => {
    const home = mkdtempSync(join(tmpdir(), "hila-login-"))
    const [own, other] = [join(home, "token"), join(home, "other")]
    writeFileSync(own, "hf_login\n")
    writeFileSync(other, "hf_other")
    const tokenOf = (env: Record<string, string>) => fromEnvironment({ HF_HOME: home, ...env }).token
    assert.strictEqual(tokenOf({}), "hf_login")
    assert.strictEqual(tokenOf({ HF_TOKEN: "hf_t" }), "hf_t")
    assert.strictEqual(tokenOf({ HF_TOKEN_PATH: other }), "hf_other")
    assert.isUndefined(tokenOf({ HF_TOKEN_PATH: join(home, "none") }))
    assert.isUndefined(tokenOf({ HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }))
    rmSync(home, { recursive: true })
  })

  it("a model that a person named is a repository for others, or a path that no one takes for one", () => {
    const home = mkdtempSync(join(tmpdir(), "hila-name-"))
    assert.deepStrictEqual(Hub.nameOf("org/name@v1"), { name: "org/name", revision: "v1" })
    assert.deepStrictEqual(Hub.nameOf(home), { name: home, revision: undefined })
    // A directory that is here, whatever it is called.
    assert.deepStrictEqual(Hub.nameOf("src/hub"), { name: "./src/hub", revision: undefined })
    assert.deepStrictEqual(Hub.nameOf("../model"), { name: "../model", revision: undefined })
    const snapshot = "/cache/models--org--name/snapshots/0123"
    assert.deepStrictEqual(Hub.nameOf(snapshot), { name: "org/name", revision: undefined })
    rmSync(home, { recursive: true })
  })

  it("references are org/name with an optional revision, nothing that looks like a path", () => {
    assert.deepStrictEqual(Hub.parse("org/name"), { repo: "org/name" })
    assert.deepStrictEqual(Hub.parse("org/na.me@refs/pr/1"), { repo: "org/na.me", revision: "refs/pr/1" })
    for (const text of ["./a", "../a", "a", "/a/b", "a/b/c", "a/b@"]) assert.isUndefined(Hub.parse(text))
  })
})
