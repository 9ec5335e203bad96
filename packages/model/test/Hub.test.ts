import { assert, describe, it, layer } from "@effect/vitest"
import { Artifact, Plan, Run, Stage, Store } from "@hila/core"
import { Effect } from "effect"
import * as Schema from "effect/Schema"
import {
  cpSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { Checkpoint, Hub, LanguageModel } from "../src/index.ts"
import { fromEnvironment } from "../src/hub/Settings.ts"
import { temporary } from "./support/fixtures.ts"
import { commit, type Fault, mockHub } from "./support/mock-hub.ts"
import { fixture, openModel } from "./support/models.ts"

const repo = "me/tiny"

/** A Hub with one model, an empty cache, and a way to use both; every use asks as a new process would. */
const setting = Effect.gen(function* () {
  const directory = yield* temporary
  const files = join(directory, "files")
  cpSync(fixture("math"), files, { recursive: true })
  writeFileSync(join(files, "README.md"), "not needed")
  writeFileSync(join(files, "pytorch_model.bin"), "not needed")
  const hub = yield* mockHub({ [repo]: files, "me/empty": yield* temporary })
  const cache = join(directory, "cache")
  const use = (more: Partial<Hub.Settings> = {}) =>
    Effect.provideService(Hub.Settings, {
      endpoint: hub.endpoint,
      token: undefined,
      cache,
      offline: false,
      ...more,
    })
  const root = join(cache, "models--me--tiny")
  return { hub, cache, root, use, files, blob: (name: string) => join(root, "blobs", hub.sha256(repo, name)) }
})

const messageOf = <A, R>(effect: Effect.Effect<A, { readonly message: string; readonly blame: string }, R>) =>
  Effect.map(Effect.flip(effect), ({ blame, message }) => {
    assert.notInclude(message, "\n")
    return `${blame}: ${message}`
  })

const pinned = { repo, revision: commit }

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
      const { blob, hub, use } = yield* setting
      hub.fault = { when: /model\.safetensors/, what: { stopAfter: 300_000 } }
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
      const { blob, hub, use } = yield* setting
      hub.fault = { when: /model\.safetensors/, what: { stopAfter: 1000 } }
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

const faults: ReadonlyArray<readonly [title: string, when: RegExp, what: Fault, line: RegExp]> = [
  ["401", /revision/, { status: 401 }, /^input: Hub me\/tiny@main: access denied \(401\): .*set HF_TOKEN/],
  ["403", /revision/, { status: 403 }, /^input: .*access denied \(403\): .*accept its conditions/],
  ["404", /revision/, { status: 404 }, /^input: .*no such repository, revision or file \(404\)/],
  ["429", /tree/, { status: 429 }, /^system: .*too many requests \(429\)/],
  [
    "503",
    /revision/,
    { status: 503 },
    /^system: Hub me\/tiny@main: the Hub answers 503; run it again later$/,
  ],
  [
    "503 at a file",
    /tokenizer\.json/,
    { status: 503 },
    /^system: Hub me\/tiny@\w+\/tokenizer\.json: the Hub answers 503/,
  ],
  [
    "a stop in a small file",
    /tokenizer\.json/,
    { stopAfter: 10 },
    /^system: .*the Hub stopped after \d+ bytes of \d+ bytes/,
  ],
  [
    "wrong bytes of a small file",
    /tokenizer\.json/,
    { corrupt: true },
    /expected git digest \w{40}, got \w{40}/,
  ],
]

describe("a Hub that fails is one line", () => {
  for (const [title, when, what, line] of faults) {
    it.effect(`${title}, and the next attempt succeeds`, () =>
      Effect.gen(function* () {
        const { hub, use } = yield* setting
        hub.fault = { when, what }
        assert.match(yield* messageOf(use()(Hub.open({ repo }))), line)
        hub.fault = undefined
        assert.isAbove((yield* use()(Hub.open({ repo }))).tensors.size, 0)
      }),
    )
  }

  it.effect("a token that is refused is named, not shown", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      hub.fault = { when: /./, what: { status: 401 } }
      const refused = yield* messageOf(use({ token: "hf_secret" })(Hub.open({ repo })))
      assert.match(refused, /the token in HF_TOKEN is not valid/)
      const odd = yield* messageOf(use({ token: "secret" })(Hub.open({ repo })))
      assert.match(odd, /token must start with 'hf_'/)
    }),
  )

  it.effect("no Hub at all; what is cached still opens", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      yield* use()(Hub.open({ repo, revision: "v1" }))
      yield* hub.close
      assert.match(
        yield* messageOf(use()(Hub.open({ repo }))),
        /^system: Hub me\/tiny@main: the Hub cannot be reached: [A-Z_]+$/,
      )
      yield* use()(Hub.open({ repo, revision: "v1" }))
      const other = use({ offline: true })(Hub.open({ repo }))
      assert.match(yield* messageOf(other), /^input: .*not in the cache, and HF_HUB_OFFLINE is set/)
    }),
  )

  it.effect("a repository without a checkpoint, and names that are none", () =>
    Effect.gen(function* () {
      const { use } = yield* setting
      const empty = use()(Hub.open({ repo: "me/empty" }))
      assert.match(
        yield* messageOf(empty),
        /^input: Hub me\/empty@main: no checkpoint: it has no config\.json$/,
      )
      for (const options of [{ repo: "../me" }, { repo: "a/b/c" }, { repo, revision: "../../x" }]) {
        assert.match(
          yield* messageOf(use()(Hub.open(options))),
          /not the name of a repository: expected org\/name/,
        )
      }
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

layer(LanguageModel.layerWith({ workers: 1, threads: 1 }))("A model of the Hub", (it) => {
  it.effect("runs from the cache, by reference or by the path of its snapshot", () =>
    Effect.gen(function* () {
      const { root, use } = yield* setting
      const service = yield* LanguageModel
      const model = yield* service.open(yield* use()(Hub.model(repo)))
      const [written] = yield* model.generate(["Q: 87+45\nA:"], { maxTokens: 16, stop: ["\n"] })
      assert.strictEqual(written?.response, " 132\n")
      const again = yield* openModel(join(root, "snapshots", commit))
      const [same] = yield* again.generate(["Q: 87+45\nA:"], { maxTokens: 16, stop: ["\n"] })
      assert.deepStrictEqual(same, written)
    }),
  )
})

const count = Stage.make({
  name: "count",
  version: 1,
  inputs: { model: Checkpoint.artifact },
  params: {},
  output: Artifact.json("count", Schema.Int, { summary: String }),
  run: ({ model }) => Effect.succeed(Checkpoint.parameterCount(model)),
})

describe("Hub.checkpoint", () => {
  const nodes = (model: ReturnType<typeof Hub.checkpoint>) => ({ count: count({ model }) })

  it.effect("is planned without weights, and has the digest of the same files in a directory", () =>
    Effect.gen(function* () {
      const { blob, hub, use } = yield* setting
      const store = Store.layer(join(yield* temporary, "store"))
      const wanted = nodes(Hub.checkpoint({ repo }))
      yield* use()(Effect.provide(Plan.make(wanted), store))
      assert.isFalse(existsSync(blob("model.safetensors")))
      const { count: first } = yield* use()(Effect.provide(Run.outputs(wanted, { pipeline: "count" }), store))
      assert.isTrue(existsSync(blob("model.safetensors")))
      assert.strictEqual(first, Checkpoint.parameterCount(yield* Checkpoint.open(fixture("math"))))

      // A copy of the model on disk has the same content, so nothing runs again.
      const local = nodes(Checkpoint.source(fixture("math")))
      const [step] = yield* Effect.provide(Plan.make(local), store)
      assert.strictEqual(step?._tag, "Hit")

      // With everything cached, a pinned revision needs no Hub.
      yield* hub.close
      const offline = nodes(Hub.checkpoint(pinned))
      const [again] = yield* use()(Effect.provide(Plan.make(offline), store))
      assert.strictEqual(again?._tag, "Hit")
    }),
  )

  it.effect("fails a run with one line that says whose turn it is", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      const store = Store.layer(join(yield* temporary, "store"))
      const wanted = nodes(Hub.checkpoint({ repo }))
      const run = use()(Effect.provide(Run.outputs(wanted, { pipeline: "count" }), store))
      hub.fault = { when: /revision/, what: { status: 503 } }
      assert.strictEqual(
        yield* messageOf(run),
        "system: source me/tiny@main: the Hub answers 503; run it again later",
      )
      hub.fault = { when: /model\.safetensors/, what: { stopAfter: 10 } }
      assert.match(
        yield* messageOf(run),
        /^system: me\/tiny@\w+\/model\.safetensors: .*the Hub stopped after \d+ bytes/,
      )
      hub.fault = undefined
      assert.isAbove((yield* run).count, 0)
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

  it("references are org/name with an optional revision, nothing that looks like a path", () => {
    assert.deepStrictEqual(Hub.parse("org/name"), { repo: "org/name" })
    assert.deepStrictEqual(Hub.parse("org/na.me@refs/pr/1"), { repo: "org/na.me", revision: "refs/pr/1" })
    for (const text of ["./a", "../a", "a", "/a/b", "a/b/c", "a/b@"]) assert.isUndefined(Hub.parse(text))
  })
})
