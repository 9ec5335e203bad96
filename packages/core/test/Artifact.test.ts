import { Artifact, Content, Digest } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { mkdir, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { temporaryDirectory } from "./temporary.ts"

const Record = Schema.Struct({ name: Schema.String, at: Schema.Finite, tags: Schema.Array(Schema.String) })

const contentOf = (path: string) =>
  Effect.promise(async (): Promise<Content.FileContent> => {
    const [text, { size }] = await Promise.all([readFile(path), stat(path)])
    return { _tag: "File", path, size, digest: Digest.of(text) }
  })

describe("Artifact", () => {
  it.effect.prop("decodes what json encoded", { value: Record }, ({ value }) =>
    Effect.gen(function* () {
      const path = join(yield* temporaryDirectory, "value")
      const artifact = Artifact.json("record", Record)
      yield* artifact.encode(value, path)
      assert.deepStrictEqual(yield* artifact.decode(yield* contentOf(path)), value)
    }).pipe(Effect.scoped),
  )

  it.effect.prop("decodes what jsonl encoded", { values: Schema.Array(Record) }, ({ values }) =>
    Effect.gen(function* () {
      const path = join(yield* temporaryDirectory, "value")
      const artifact = Artifact.jsonl("records", Record)
      yield* artifact.encode(values, path)
      assert.deepStrictEqual(yield* artifact.decode(yield* contentOf(path)), values)
    }).pipe(Effect.scoped),
  )

  it.effect("names the line of a list that its schema refuses", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryDirectory, "bad.jsonl")
      yield* Effect.promise(() => writeFile(path, '1\n\n"two"\n'))
      const error = yield* Artifact.jsonl("numbers", Schema.Finite)
        .decode(yield* contentOf(path))
        .pipe(Effect.flip)
      assert.strictEqual(error.path, `${path}:3`)
      assert.strictEqual(error.blame, "input")
      assert.notInclude(error.message, "\n")
    }),
  )

  it.effect("keeps the files of a directory as they are, under their names", () =>
    Effect.gen(function* () {
      const root = yield* temporaryDirectory
      yield* Effect.promise(() => mkdir(join(root, "from", "sub"), { recursive: true }))
      yield* Effect.promise(() => writeFile(join(root, "from", "sub", "a.bin"), "abc"))
      const artifact = Artifact.directory("files")
      yield* artifact.encode({ files: { "sub/a.bin": join(root, "from", "sub", "a.bin") } }, join(root, "to"))
      assert.strictEqual(
        yield* Effect.promise(() => readFile(join(root, "to", "sub", "a.bin"), "utf8")),
        "abc",
      )
    }),
  )
})
