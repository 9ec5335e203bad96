/** Where a recipe's models are sought, and where its result goes when others use the same place. */
import { assert, describe, it } from "@effect/vitest"
import { mergeRecipe, Prepared } from "@hila/merge/Recipe"
import * as Effect from "effect/Effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { cp, mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { hubOf } from "./hub.ts"
import { list, scratch } from "./support.ts"

const family = fileURLToPath(new URL("../../../fixtures/micro/", import.meta.url))

const linear = (...names: ReadonlyArray<string>) =>
  `merge_method: linear\nmodels:\n${names.map((model) => `- {model: ${model}, parameters: {weight: 0.5}}`).join("\n")}\n`

describe("a merge by recipe", () => {
  it.effect("says of a mistyped directory that it is neither on the Hub nor here", () =>
    Effect.gen(function* () {
      const { use } = yield* hubOf({})
      const directory = yield* scratch
      yield* Effect.promise(() => mkdir(join(directory, "mine", "math"), { recursive: true }))
      const prepare = Prepared.fromText(linear("mine/maths"), "r.yml", directory)
      const { message } = yield* use(Effect.flip(prepare))
      assert.match(
        message,
        /^Hub mine\/maths@main: .*; nor is there a directory mine\/maths, did you mean mine\/math\?$/,
      )
    }),
  )

  it.effect("says of a revision of what is a directory that it has none, and of an adapter's", () =>
    Effect.gen(function* () {
      const { use } = yield* hubOf({})
      const directory = yield* scratch
      yield* Effect.promise(() => mkdir(join(directory, "mine", "math"), { recursive: true }))
      const refused = (model: string) =>
        use(Effect.flip(Prepared.fromText(linear(model), "r.yml", directory))).pipe(
          Effect.map(({ message }) => message),
        )
      assert.match(
        yield* refused("mine/math@v1"),
        /^Hub mine\/math@v1: .*; mine\/math is a directory here, which has no revision$/,
      )
      assert.strictEqual(
        yield* refused(`${family}base+mine/math@v1`),
        "r.yml:3:3: an adapter is a directory, which has no revision: fetch mine/math at v1 and name its directory",
      )
    }),
  )

  it.effect(
    "takes a path with + or @ that is there as it is, else says how to write it (22-plus-in-a-path)",
    () =>
      Effect.gen(function* () {
        const directory = yield* scratch
        for (const name of ["dpo+v2", "sft@v3"])
          yield* Effect.promise(() => cp(`${family}math`, join(directory, name), { recursive: true }))
        const { models } = yield* Prepared.fromText(linear("dpo+v2", "sft@v3"), "r.yml", directory)
        assert.deepStrictEqual(
          [...models.values()].map(({ reference }) => reference),
          [{ path: "dpo+v2" }, { path: "sft@v3" }],
        )
        const refused = (model: string) =>
          Effect.flip(Prepared.fromText(linear(model), "r.yml", directory)).pipe(
            Effect.map(({ message }) => message.replaceAll(/looked for [^)]*/g, "…")),
          )
        assert.strictEqual(
          yield* refused("./dpo+v1"),
          'r.yml:3:3: there is no directory ./dpo (…); + parts an adapter off: where ./dpo+v1 is one directory, write {model: {path: "./dpo+v1"}}',
        )
        assert.strictEqual(
          yield* refused("./sft@v1"),
          'r.yml:3:3: there is no directory ./sft (…); @ parts a revision off: where ./sft@v1 is one directory, write {model: {path: "./sft@v1"}}',
        )
        assert.strictEqual(
          yield* refused("dpo+v2+v9"),
          'r.yml:3:3: there is no directory v9 for the adapter: fetch it first; + parts an adapter off: where dpo+v2+v9 is one directory, write {model: {path: "dpo+v2+v9"}}',
        )
        const long = `merge_method: linear\nmodels:\n- {model: {model: {path: dpo+v2}}, parameters: {weight: 1}}\n`
        assert.strictEqual((yield* Prepared.fromText(long, "r.yml", directory)).models.size, 1)
      }),
  )

  it.effect("notes keys that only hold anchors", () =>
    Effect.gen(function* () {
      const { notes } = yield* Prepared.fromText(`x-half: &H 0.5\n${linear(`${family}math`)}`, "r.yml", "/")
      assert.deepStrictEqual(notes, ["keys that do nothing but hold anchors: x-half"])
    }),
  )

  it.effect("notes a model that is listed twice", () =>
    Effect.gen(function* () {
      const text = linear(`${family}math`, `${family}base`, `${family}math`)
      const { notes } = yield* Prepared.fromText(text, "recipe.yml", "/")
      assert.deepStrictEqual(notes, [`${family}math is listed more than once: each counts`])
    }),
  )

  it.effect("that another merge overtakes leaves the other's result and says that its place is taken", () =>
    Effect.gen(function* () {
      const directory = yield* scratch
      const recipe = join(directory, "recipe.yml")
      yield* Effect.promise(() => writeFile(recipe, linear(`${family}base`, `${family}math`)))
      const path = join(directory, "merged")
      const overtaken = mergeRecipe(recipe, path, {
        digests: false,
        onReport: () => {
          mkdirSync(path)
        },
      })
      // An empty directory may be filled; one that has something by then may not.
      yield* overtaken
      const other = join(directory, "other")
      const progress = yield* Effect.flip(
        mergeRecipe(recipe, other, {
          digests: false,
          onProgress: () => {
            mkdirSync(other, { recursive: true })
            writeFileSync(join(other, "theirs"), "")
          },
        }),
      )
      assert.strictEqual(progress.blame, "input")
      assert.match(progress.message, /other: already exists: expected a new or empty directory/)
      assert.sameMembers(yield* list(directory), ["recipe.yml", "merged", "other"])
      assert.deepStrictEqual(yield* list(other), ["theirs"])
    }),
  )
})
