import { assert, describe, it } from "@effect/vitest"
import { Artifact } from "@hila/core"
import { Effect } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { Hub, HubFile } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"
import { messageOf } from "./support/hub.ts"
import { commit, mockHub } from "./support/mock-hub.ts"

const dataset = "hf://datasets/me/sums"

/** A Hub with a data set and a model that has a file in a directory. */
const setting = Effect.gen(function* () {
  const directory = yield* temporary
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  write("sums/train.jsonl", "{}\n")
  write("sums/data/a b.parquet", "parquet")
  write("sums/data/more/c.jsonl", "[]")
  write("model/extra/prompts.txt", "one\n")
  const hub = yield* mockHub({
    "datasets/me/sums": join(directory, "sums"),
    "me/model": join(directory, "model"),
  })
  const cache = join(directory, "cache")
  const use = (more: Partial<Hub.Settings> = {}) =>
    Effect.provideService(Hub.Settings, {
      endpoint: hub.endpoint,
      token: undefined,
      cache,
      offline: false,
      ...more,
    })
  return { hub, use, cache, directory }
})

const file = Artifact.file("some-file")

/** A source's content; it is not looked for in a store. */
const contentOf = (text: string) => {
  const refuse = () => Effect.die("no file of the user's")
  return HubFile.source(text, file).resolve({ file: refuse, directory: refuse, keep: refuse })
}

describe("HubFile.open", () => {
  it.effect("fetches one file of a data set or a model, once, into the shared cache layout", () =>
    Effect.gen(function* () {
      const { cache, hub, use } = yield* setting
      const path = yield* use()(HubFile.open(`${dataset}@v1/data/more/c.jsonl`))
      assert.strictEqual(readFileSync(path, "utf8"), "[]")
      const root = join(cache, "datasets--me--sums")
      assert.strictEqual(readFileSync(join(root, "refs/v1"), "utf8"), commit)
      assert.strictEqual(readFileSync(join(root, "snapshots", commit, "data/more/c.jsonl"), "utf8"), "[]")
      assert.strictEqual(hub.log.filter((line) => line.includes("/resolve/")).length, 1)
      const asked = hub.log.length
      yield* use()(HubFile.open(`${dataset}@${commit}/data/more/c.jsonl`))
      yield* use({ offline: true })(HubFile.open(`${dataset}@v1/data/more/c.jsonl`))
      assert.strictEqual(hub.log.length, asked, "everything cached, nothing asked")

      const own = yield* use()(HubFile.open("hf://me/model/extra/prompts.txt"))
      assert.strictEqual(readFileSync(own, "utf8"), "one\n")
      const converted = yield* use()(HubFile.open(`${dataset}@refs/convert/parquet/data/a b.parquet`))
      assert.strictEqual(readFileSync(converted, "utf8"), "parquet")
    }),
  )

  it.effect("gives a path as it is", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* HubFile.open("./data/x.jsonl"), "./data/x.jsonl")
      assert.isFalse(HubFile.isName("datasets/x.jsonl"))
    }),
  )

  it.effect("says in one line which of data set, revision and file is not there", () =>
    Effect.gen(function* () {
      const { use } = yield* setting
      const of = (name: string) => messageOf(use()(HubFile.open(name)))
      assert.match(
        yield* of("hf://datasets/me/gone/train.jsonl"),
        /^input: Hub datasets\/me\/gone@main: there is no such repository, revision or file \(404\); check its name$/,
      )
      assert.match(
        yield* of(`${dataset}@v9/train.jsonl`),
        /^input: Hub datasets\/me\/sums@v9: there is no such/,
      )
      assert.strictEqual(
        yield* of(`${dataset}/data/b.parquet`),
        "input: Hub datasets/me/sums@main/data/b.parquet: there is no such file; there are data/a b.parquet",
      )
      assert.match(
        yield* of(`${dataset}/deta/b.parquet`),
        /^input: Hub datasets\/me\/sums@\w{40}\/deta: there is no such repository, revision or file/,
      )
      for (const name of [
        "hf://datasets/me/sums",
        "hf://datasets/sums.jsonl",
        "hf://datasets/squad/train.jsonl",
        "hf://spaces/me/app/x.txt",
        `${dataset}@../x/y`,
        `${dataset}@v%201/train.jsonl`,
      ]) {
        assert.match(
          yield* of(name),
          /^input: Hub [^:]+: not the name of a file: expected hf:\/\/datasets\/org\/name@revision\/path/,
          name,
        )
      }
      assert.match(yield* of(`${dataset}/../../x.jsonl`), /not the path of a file/)
      assert.match(
        yield* messageOf(use({ offline: true })(HubFile.open(`${dataset}/train.jsonl`))),
        /^input: .*HF_HUB_OFFLINE is set/,
      )
    }),
  )
})

describe("HubFile.source", () => {
  it.effect(
    "knows a large file by the Hub's digest and fetches it when it is read, a small one by its bytes",
    () =>
      Effect.gen(function* () {
        const { cache, hub, use } = yield* setting
        const name = `${dataset}/data/a b.parquet`
        const content = yield* use()(contentOf(name))
        assert.strictEqual(content.digest, hub.sha256("datasets/me/sums", "data/a b.parquet"))
        assert.isFalse(existsSync(join(cache, "datasets--me--sums/blobs", content.digest)))
        const { path } = yield* use()(HubFile.source(name, file).artifact.decode(content))
        assert.strictEqual(readFileSync(String(path), "utf8"), "parquet")
        const small = yield* use()(contentOf(`${dataset}/train.jsonl`))
        assert.match(small.digest, /^[0-9a-f]{64}$/)
        assert.strictEqual(readdirSync(join(cache, "datasets--me--sums/blobs")).length, 2)
      }),
  )
})
