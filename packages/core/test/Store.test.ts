import { Content, Digest, Store } from "@hila/core"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { link, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { temporaryDirectory } from "./temporary.ts"

const withStore = <A, E>(f: (store: Store["Service"], root: string) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const root = yield* temporaryDirectory
    const directory = join(root, "store")
    return yield* Effect.provide(
      Effect.flatMap(Store, (store) => f(store, root)),
      Store.layer(directory),
    )
  })

const write = (path: string, text: string) => Effect.promise(() => writeFile(path, text))

describe("Store", () => {
  it.effect("publishes a file under its digest, read-only, and takes it away from where it was", () =>
    withStore((store, root) =>
      Effect.gen(function* () {
        const path = join(root, "a.txt")
        yield* write(path, "hello")
        const content = yield* store.publish(path)
        assert.strictEqual(content.digest, Digest.of("hello"))
        assert.isTrue(content._tag === "File")
        const at = content._tag === "File" ? content.path : ""
        assert.strictEqual(yield* Effect.promise(() => readFile(at, "utf8")), "hello")
        assert.strictEqual((yield* Effect.promise(() => stat(at))).mode & 0o777, 0o444)
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(root)), ["store"])
      }),
    ),
  )

  it.effect(
    "copies a file that has another name outside, so that writing there cannot change the store",
    () =>
      withStore((store, root) =>
        Effect.gen(function* () {
          const [mine, given] = [join(root, "mine.txt"), join(root, "given.txt")]
          yield* write(mine, "first")
          yield* Effect.promise(() => link(mine, given))
          const content = yield* store.publish(given)
          yield* write(mine, "second")
          const path = content._tag === "File" ? content.path : ""
          assert.strictEqual(yield* Effect.promise(() => readFile(path, "utf8")), "first")
          assert.strictEqual((yield* Effect.promise(() => stat(mine))).mode & 0o222, 0o200)
        }),
      ),
  )

  it.effect("publishes a directory as a manifest that does not depend on where it lay", () =>
    withStore((store, root) =>
      Effect.gen(function* () {
        const make = (name: string) =>
          Effect.promise(async () => {
            await mkdir(join(root, name, "sub"), { recursive: true })
            await writeFile(join(root, name, "sub", "b.txt"), "b")
            await writeFile(join(root, name, "a.txt"), "a")
            return join(root, name)
          })
        const one = yield* store.publish(yield* make("one"))
        const two = yield* store.publish(yield* make("two"))
        assert.strictEqual(one.digest, two.digest)
        const found = yield* store.content("directory", one.digest)
        assert.isTrue(Option.isSome(found))
        if (Option.isSome(found) && found.value._tag === "Directory") {
          assert.deepStrictEqual(Object.keys(found.value.files), ["a.txt", "sub/b.txt"])
          assert.strictEqual(Content.directory(found.value.files).digest, one.digest)
        }
      }),
    ),
  )

  it.effect("publishes the same content once, however many publish it at the same time", () =>
    withStore((store, root) =>
      Effect.gen(function* () {
        const names = Array.from({ length: 8 }, (_, index) => join(root, `${index}.txt`))
        yield* Effect.forEach(names, (name) => write(name, "same"))
        const contents = yield* Effect.forEach(names, (name) => store.publish(name), {
          concurrency: "unbounded",
        })
        assert.strictEqual(new Set(contents.map(({ digest }) => digest)).size, 1)
        assert.deepStrictEqual(yield* Effect.promise(() => readdir(root)), ["store"])
      }),
    ),
  )

  it.effect("knows a source by its content: a touch changes nothing, another byte does", () =>
    withStore((store, root) =>
      Effect.gen(function* () {
        const path = join(root, "source.txt")
        yield* write(path, "one")
        const first = yield* store.sourceFile(path)
        yield* Effect.promise(() => utimes(path, new Date(0), new Date(0)))
        const touched = yield* store.sourceFile(path)
        yield* write(path, "two")
        const changed = yield* store.sourceFile(path)
        assert.strictEqual(first.digest, touched.digest)
        assert.strictEqual(changed.digest, Digest.of("two"))
      }),
    ),
  )

  it.effect("follows links below a source directory and refuses what is missing", () =>
    withStore((store, root) =>
      Effect.gen(function* () {
        yield* write(join(root, "target.txt"), "x")
        const directory = join(root, "dir")
        yield* Effect.promise(() => mkdir(directory))
        yield* Effect.promise(() => symlink(join(root, "target.txt"), join(directory, "link.txt")))
        const content = yield* store.sourceDirectory(directory)
        assert.strictEqual(content.files["link.txt"]?.digest, Digest.of("x"))
        const error = yield* Effect.flip(store.sourceDirectory(join(root, "nowhere")))
        assert.strictEqual(error.message, `source ${join(root, "nowhere")}: no such file or directory`)
      }),
    ),
  )

  it.effect("gives what a symbolic link points to a second name, not the link", () =>
    withStore((_, root) =>
      Effect.gen(function* () {
        yield* write(join(root, "target.txt"), "x")
        yield* Effect.promise(() => symlink("target.txt", join(root, "link.txt")))
        yield* Effect.promise(() => mkdir(join(root, "elsewhere")))
        yield* Content.link(join(root, "link.txt"), join(root, "elsewhere", "copy.txt"))
        const text = yield* Effect.promise(() => readFile(join(root, "elsewhere", "copy.txt"), "utf8"))
        assert.strictEqual(text, "x")
      }),
    ),
  )

  it.effect("removes the scratch space of processes that are gone, and only theirs", () =>
    withStore((store, root) =>
      Effect.gen(function* () {
        const tmp = join(root, "store", "tmp")
        yield* Effect.scoped(
          Effect.gen(function* () {
            const alive = yield* store.scratch
            // No process has this number: it is above the largest the kernel gives.
            const dead = alive.replace(`~${process.pid}~`, "~99999999~")
            yield* Effect.promise(() => mkdir(dead, { recursive: true }))
            yield* Effect.provide(
              Effect.flatMap(Store, (other) => Effect.scoped(other.scratch)),
              Store.layer(join(root, "store")),
            )
            assert.deepStrictEqual(yield* Effect.promise(() => readdir(tmp)), [basename(alive)])
          }),
        )
      }),
    ),
  )
})
