/** No control character of a tensor, a task, a recipe or a model reaches a terminal; what the command draws with does. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import * as Terminal from "../src/Terminal.ts"
import { workbench } from "./workbench.ts"

const hostile = "\u001B[2J\u001B[31mowned\u0007\u009B31m\u202Etxt\u2066\r\u007F\n"
// oxlint-disable-next-line no-control-regex -- these are what is looked for
const raw = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u202A-\u202E\u2066-\u2069]/

describe("text on a terminal", () => {
  it("has its control characters written out, and nothing else changed", () => {
    assert.strictEqual(
      Terminal.plain(hostile),
      "\\u001b[2J\\u001b[31mowned\\u0007\\u009b31m\\u202etxt\\u2066\\u000d\\u007f\n",
    )
    const harmless = "Käse 茶 👩‍👩‍👧 e\u0301\tחלב\nمرحبا"
    assert.strictEqual(Terminal.plain(harmless), harmless)
    assert.strictEqual(Terminal.plain("a\r\nb"), "a\nb")
    // JSON stays the JSON that it was.
    assert.strictEqual(JSON.parse(Terminal.plain(JSON.stringify(hostile))), hostile)
  })

  it("passes a guard before the stream, which knows the command's own sequences from others", () => {
    const written: Array<string | Uint8Array> = []
    const stream = {
      write: (chunk: string | Uint8Array) => {
        written.push(chunk)
        return true
      },
    }
    Terminal.guard(stream)
    stream.write(hostile)
    stream.write(Buffer.from("bytes\u001B"))
    Terminal.trusted(() => stream.write("\u001B[1mhelp\u001B[0m"))
    stream.write("\u001B[1m")
    assert.notMatch(String(written[0]), raw)
    assert.deepStrictEqual(written.slice(1), [
      Buffer.from("bytes\u001B"),
      "\u001B[1mhelp\u001B[0m",
      "\\u001b[1m",
    ])
  })

  // The cases security/recipes/ansi.yml and security/tasks/name_ansi.yaml.
  it.live("is free of them in what a command says of a file", () =>
    Effect.gen(function* () {
      const { hila, path, write } = yield* workbench
      write("ansi.yml", `merge_method: "\\e[2J\\e[31mowned\\a"\n`)
      write("name.yaml", `task: "\\e[2J\\e[31mowned\\nX"\ndataset_path: json\n`)
      const math = fileURLToPath(new URL("../../../fixtures/micro/math", import.meta.url))
      for (const args of [
        ["merge", path("ansi.yml"), path("out")],
        ["eval", math, "--tasks", path("name.yaml")],
        ["inspect", path("\u001B[31mnowhere")],
      ]) {
        const { code, err } = yield* hila(...args)
        assert.strictEqual(code, 2, err)
        assert.notMatch(err.trimEnd(), raw, args.join(" "))
        assert.strictEqual(err.trimEnd().split("\n").length, 1)
      }
    }),
  )
})
