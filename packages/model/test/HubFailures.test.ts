import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Hub } from "../src/index.ts"
import { messageOf, repo, setting } from "./support/hub.ts"
import type { Fault } from "./support/mock-hub.ts"

const faults: ReadonlyArray<readonly [title: string, when: RegExp, what: Fault, line: RegExp]> = [
  ["401", /revision/, { status: 401 }, /^input: Hub me\/tiny@main: access denied \(401\): .*set HF_TOKEN/],
  ["403", /revision/, { status: 403 }, /^input: .*access denied \(403\): .*accept its conditions/],
  ["404", /revision/, { status: 404 }, /^input: .*no such repository, revision or file \(404\)/],
  [
    "an answer that is no JSON",
    /revision/,
    { text: "<html>" },
    /^system: .*not JSON; is HF_ENDPOINT right\?$/,
  ],
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
      assert.match(refused, /the token of HF_TOKEN or of the login is not valid/)
      const odd = yield* messageOf(use({ token: "secret" })(Hub.open({ repo })))
      assert.match(
        odd,
        /^input: .*the token of HF_TOKEN or of the login is no token of the Hub: expected one that begins with hf_$/,
      )
    }),
  )

  it.effect("a password in its address and a token that cannot be sent are named, not shown", () =>
    Effect.gen(function* () {
      const { hub, use } = yield* setting
      const secret = "hf_s3cret"
      for (const [own, line] of [
        [
          { endpoint: hub.endpoint.replace("http://", `http://me:${secret}@`) },
          /HF_ENDPOINT http:\/\/[\d.:]+ has a name or a password in it/,
        ],
        [{ endpoint: `https://me:${secret}@[` }, /HF_ENDPOINT an address that cannot be read/],
        [{ token: `${secret}\nx` }, /the token of HF_TOKEN or of the login holds a blank, a line break/],
        [{ token: `${secret} ü` }, /the token of HF_TOKEN or of the login holds a blank/],
      ] as const) {
        const said = yield* messageOf(use(own)(Hub.open({ repo })))
        assert.match(said, line)
        assert.match(said, /^input: /)
        assert.notInclude(said, secret)
      }
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
