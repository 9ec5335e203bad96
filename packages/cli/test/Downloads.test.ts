import { assert, describe, it } from "@effect/vitest"
import { Hub } from "@hila/model"
import { Effect } from "effect"
import * as Downloads from "../src/Downloads.ts"

const fetching = Effect.gen(function* () {
  const report = yield* Hub.Progress
  report({ file: "me/a@1/one", done: 1_500_000, total: 4_000_000 })
  report({ file: "me/a@1/two", done: 500_000, total: 1_000_000 })
  report({ file: "me/a@1/one", done: 4_000_000, total: 4_000_000 })
  report({ file: "me/a@1/two", done: 1_000_000, total: 1_000_000 })
})

describe("Downloads", () => {
  it.effect("draws one line on a terminal, cut to its width, and takes it away", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      const terminal = { isTTY: true, columns: 43, write: (text: string) => void written.push(text) }
      yield* Downloads.shown(fetching, terminal, 0)
      assert.deepStrictEqual(written, [
        "\r\u001B[Kfetching me/a@1/one: 1.5 of 4.0 MB",
        "\r\u001B[Kfetching 2 files: 2.0 of 5.0 MB",
        "\r\u001B[Kfetching me/a@1/two: 0.5 of 1.0 MB",
        "\r\u001B[K",
      ])
      for (const text of written) assert.isBelow(text.replace("\r\u001B[K", "").length, 43)
    }),
  )

  it.effect("writes nothing elsewhere", () =>
    Effect.gen(function* () {
      const written: Array<string> = []
      yield* Downloads.shown(fetching, { write: (text: string) => void written.push(text) }, 0)
      assert.deepStrictEqual(written, [])
    }),
  )
})
