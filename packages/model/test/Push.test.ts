import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Hub } from "../src/index.ts"
import { temporary } from "./support/fixtures.ts"
import { messageOf } from "./support/hub.ts"
import { fixture } from "./support/models.ts"
import { receivingHub } from "./support/receiving-hub.ts"

const token = "hf_test"

const setting = Effect.gen(function* () {
  const hub = yield* receivingHub(token, ["me/old"])
  const use = (more: Partial<Hub.Settings> = {}) =>
    Effect.provideService(Hub.Settings, {
      endpoint: hub.endpoint,
      token,
      cache: "unused",
      offline: false,
      ...more,
    })
  return { hub, use }
})

const directory = fixture("math")

describe("Hub.push", () => {
  it.effect("makes a repository, sends every file and commits them at once, weights by their digest", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      const seen = new Map<string, Hub.Downloaded>()
      const sent = yield* Hub.push({ directory, repo: "me/tiny", private: true }).pipe(
        use(),
        Effect.provideService(Hub.Progress, (event) => void seen.set(event.file, event)),
      )
      const files = hub.commits.get("me/tiny@main")!
      const names = readdirSync(directory)
      assert.sameMembers([...files.keys()], names)
      for (const name of names)
        assert.isTrue(files.get(name)!.equals(readFileSync(join(directory, name))), name)
      const create = hub.log.filter((line) => line.startsWith("POST /api/repos/create"))
      assert.match(create[0]!, /"name":"tiny","visibility":"private","organization":"me"/)
      const size = readFileSync(join(directory, "model.safetensors")).length
      assert.deepStrictEqual(seen.get("me/tiny@main/model.safetensors"), {
        file: "me/tiny@main/model.safetensors",
        done: size,
        total: size,
      })
      assert.deepInclude(sent, {
        url: `${hub.endpoint}/me/tiny`,
        commit: "c".repeat(40),
        files: names.length,
      })
    }),
  )

  it.effect("goes to a branch of a repository that exists, and sends no weights that the Hub has", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      const push = use()(Hub.push({ directory, repo: "me/old", revision: "trial/1" }))
      assert.strictEqual((yield* push).url, `${hub.endpoint}/me/old/tree/trial/1`)
      yield* push
      assert.isTrue(hub.commits.has("me/old@trial/1"))
      assert.strictEqual(hub.log.filter((line) => line.startsWith("PUT /upload/")).length, 1)
      assert.isTrue(hub.log.includes("POST /api/models/me/old/branch/trial/1"))
    }),
  )

  it.effect("says what is missing before it asks the Hub for anything", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      const empty = yield* temporary
      writeFileSync(join(empty, "notes.txt"), "no model")
      const message = (push: Partial<Hub.Push>, more?: Partial<Hub.Settings>) =>
        messageOf(use(more)(Hub.push({ directory, repo: "me/tiny", ...push })))
      const cases: ReadonlyArray<readonly [Effect.Effect<string, unknown>, RegExp]> = [
        [message({}, { token: undefined }), /^input: Hub me\/tiny@main: pushing needs a token: set HF_TOKEN/],
        [message({}, { offline: true }), /^input: Hub me\/tiny@main: HF_HUB_OFFLINE is set/],
        [
          message({ repo: "tiny" }),
          /^input: Hub tiny@main: not the name of a repository: expected org\/name$/,
        ],
        [message({ revision: "a b" }), /^input: Hub me\/tiny@a b: not the name of a branch/],
        [message({ directory: join(empty, "none") }), /^input: .*none/],
        [message({ directory: empty }), /^input: .*config\.json/],
      ]
      for (const [got, expected] of cases) assert.match(yield* got, expected)
      assert.deepStrictEqual(hub.log, [])
    }),
  )

  it.effect("a refusal or a Hub that is down is one line, and nothing is committed", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      const message = (repo: string, more?: Partial<Hub.Settings>) =>
        messageOf(use(more)(Hub.push({ directory, repo })))
      assert.match(
        yield* message("me/tiny", { token: "hf_other" }),
        /^input: .*\(401\): the token of HF_TOKEN or of the login/,
      )
      assert.match(yield* message("others/tiny"), /^input: .*\(403\): .* may not write there/)
      hub.down = /\/upload\//
      assert.match(yield* message("me/tiny"), /^system: Hub me\/tiny@main: the Hub answers 503/)
      assert.strictEqual(hub.commits.size, 0)
    }),
  )
})
