import { type Action, Ingredients, Store } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import * as Disk from "../src/Disk.ts"
import { temporaryDirectory } from "./temporary.ts"

/** A disk on which everything was changed long ago, and which counts the texts that are read below a directory. */
const aged = () => {
  const read: Array<string> = []
  const disk: Disk.Disk = {
    ...Disk.node,
    text: (path) => {
      if (path.includes("/actions/")) read.push(path)
      return Disk.node.text(path)
    },
    stat: (path) => {
      const info = Disk.node.stat(path)
      // A spread reads the stamp, which is what it was.
      return info === undefined ? undefined : { ...info, changed: info.changed - 10_000 }
    },
  }
  return { disk, read }
}

const open = <A, E>(root: string, effect: Effect.Effect<A, E, Store>) =>
  Effect.suspend(() => {
    const { disk, read } = aged()
    return effect.pipe(
      Effect.provide(Store.layer(join(root, "store"))),
      Effect.provideService(Disk.Disk, disk),
      Effect.map((value) => ({ value, read: read.length })),
    )
  })

const ingredients = (index: number): Ingredients.Ingredients => ({
  stage: "many",
  version: 1,
  params: { index },
  inputs: {},
  output: "text",
})

const record = (root: string, index: number, summary: string) =>
  Effect.gen(function* () {
    const { publish, record: keep } = yield* Store
    const path = join(root, `value-${index}`)
    yield* Effect.promise(() => writeFile(path, `value ${index}`))
    const { digest, size } = yield* publish(path)
    const of = ingredients(index)
    const action: Action.Action = {
      key: Ingredients.key(of),
      ingredients: of,
      kind: "file",
      digest,
      size,
      summary,
      started: "2026-01-01T00:00:00Z",
      seconds: 1,
    }
    yield* keep(action)
    return action
  })

const count = 100
const all = Array.from({ length: count }, (_, index) => index)
const fill = (root: string) =>
  open(
    root,
    Effect.forEach(all, (index) => record(root, index, "first")),
  )
const lookUp = Effect.gen(function* () {
  const { lookup } = yield* Store
  return yield* Effect.forEach(all, (index) => lookup("many", Ingredients.key(ingredients(index))))
})

describe("Records", () => {
  it.effect("are read from one file once a hundred of them have been read one by one", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      yield* fill(root)
      const [first, second] = [yield* open(root, lookUp), yield* open(root, lookUp)]
      assert.strictEqual(first.read, count)
      assert.isBelow(second.read, count / 4)
      assert.deepStrictEqual(second.value, first.value)
    }),
  )

  it.effect("do not come from the copy after one of them has changed or gone", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      yield* fill(root)
      yield* open(root, lookUp)
      yield* open(root, record(root, count - 1, "second"))
      const { value } = yield* open(root, lookUp)
      assert.strictEqual(Option.getOrThrow(value[count - 1]!).summary, "second")
      yield* open(
        root,
        Effect.flatMap(Store, (store) => store.removeAction(Option.getOrThrow(value[50]!))),
      )
      assert.isTrue(Option.isNone((yield* open(root, lookUp)).value[50]!))
    }),
  )

  it.effect("come from their own files where the copy is damaged or gone", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      yield* fill(root)
      const { value } = yield* open(root, lookUp)
      const copy = join(root, "store", "records", "many.json")
      const text = yield* Effect.promise(() => readFile(copy, "utf8"))
      yield* Effect.promise(() => writeFile(copy, text.replaceAll("first", "forged")))
      assert.deepStrictEqual((yield* open(root, lookUp)).value, value)
      yield* Effect.promise(() => rm(copy))
      assert.deepStrictEqual((yield* open(root, lookUp)).value, value)
    }),
  )
})
