import { assert, describe, it } from "@effect/vitest"
import type * as Command from "effect/cli/Command"
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { hila } from "../src/Commands.ts"

interface Found {
  readonly path: ReadonlyArray<string>
  readonly command: Command.Command.Any
}

/** A command and everything below it, with the words that call each. */
const tree = (command: Command.Command.Any, above: ReadonlyArray<string> = []): ReadonlyArray<Found> => {
  const path = [...above, command.name]
  const below = command.subcommands.flatMap(({ commands }) => commands.flatMap((each) => tree(each, path)))
  return [{ path, command }, ...below]
}

const all = tree(hila)
const inRepository = (path: string) => existsSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)))
const helpOf = ({ command, path }: Found): string =>
  "buildHelpDoc" in command && typeof command.buildHelpDoc === "function"
    ? JSON.stringify(command.buildHelpDoc(path))
    : ""

describe("Help", () => {
  it("of every command says what it does, with examples", () => {
    assert.isAbove(all.length, 35)
    for (const { command, path } of all) {
      assert.isString(command.description, path.join(" "))
      assert.isNotEmpty(command.examples, path.join(" "))
    }
  })

  it("has examples that call commands there are, with flags they have, on files that come with Hila", () => {
    for (const { command } of all) {
      for (const { command: text } of command.examples) {
        if (!text.startsWith("hila ")) continue
        const words = text.split(" ")
        const called = all.findLast(({ path }) => path.every((word, index) => words[index] === word))
        assert.isAbove(called?.path.length ?? 0, 1, text)
        const help = called === undefined ? "" : helpOf(called)
        for (const [, flag] of text.matchAll(/ --([a-z-]+)/g))
          assert.include(help, `"name":"${flag}"`, `${text}: --${flag}`)
        for (const [path] of text.matchAll(/\b(fixtures|pipelines)\/[\w./-]+/g))
          assert.isTrue(inRepository(path), `${text}: ${path}`)
      }
    }
  })

  it("has --json wherever something is printed that a program could read", () => {
    const silent = new Set(["hila", "graph", "serve"])
    for (const found of all) {
      const { command, path } = found
      if (command.subcommands.length > 0 || path.some((word) => silent.has(word) && word !== "hila")) continue
      assert.include(helpOf(found), '"name":"json"', path.join(" "))
    }
  })
})
